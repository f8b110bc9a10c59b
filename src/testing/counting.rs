//! What every device that counts passes: it has counted what calibration counts of the same numbers on the host.

use crate::base::random::SplitMix64;
use crate::base::{DType, Shape};
use crate::calib::Stats;
use crate::device::counter::{BEGUN, GROUPS, Port, Watched};
use crate::device::{Device, Layout, Operand, Program, Slot};
use crate::pipeline::taps::channels;
use crate::pipeline::watch::stats;
use std::collections::VecDeque;
use std::sync::Arc;

/// Most images of a run.
const IMAGES: usize = 9;

/// Counts images of tensors of awkward forms, in runs of different sizes whose ranges grow, shrink and grow. How many groups
/// were compared, or what differs.
pub fn run(device: &dyn Device) -> Result<usize, String> {
    let watched = watched();
    let mut end = 0;
    let slots: Vec<Slot> = watched.iter().map(|w| slot(&w.operand, &mut end)).collect();
    let program = Program {
        steps: vec![],
        arena: end,
        max_batch: IMAGES,
        inputs: slots.clone(),
        outputs: vec![],
        entry: None,
    };
    let mut executor = device.load(&program).map_err(|e| e.to_string())?;
    executor.counter().ok_or("it does not count")?.watch(&watched, 1).map_err(|e| e.to_string())?;
    let mut random = SplitMix64::new(11);
    let mut compared = 0;
    for batches in [&KINDS[..1], &KINDS[..], &KINDS[2..5]] {
        let new = || std::array::from_fn::<_, GROUPS, _>(|_| Stats::new(1));
        let mut host: Vec<[Stats; GROUPS]> =
            watched.iter().map(|w| new().map(|_| Stats::new(w.channels))).collect();
        let mut begun = VecDeque::new();
        for (b, &kind) in batches.iter().enumerate() {
            let images = if b % 3 == 0 { IMAGES } else { 1 + random.below(IMAGES) };
            let groups: Vec<usize> = (0..images).map(|_| random.below(GROUPS)).collect();
            let mut amax = Vec::new();
            for (i, w) in watched.iter().enumerate() {
                let bytes = executor.input(i, images);
                for (image, &group) in groups.iter().enumerate() {
                    let values: Vec<f32> =
                        (0..w.operand.shape.numel()).map(|_| value(kind, &mut random)).collect();
                    place(&w.operand, &values, &mut bytes[slots[i].stride * image..]);
                    let name: Arc<str> = "sample".into();
                    let before = host[i][group].non_finite;
                    host[i][group].update_from(&name, &values, w.inner);
                    amax.push((largest(&values), host[i][group].non_finite == before));
                }
            }
            let counter = executor.counter().ok_or("it does not count any more")?;
            counter.begin(&groups).map_err(|e| e.to_string())?;
            begun.push_back((kind, amax));
            // all that may be begun are, but at the end
            let left = if b + 1 == batches.len() { 0 } else { BEGUN - 1 };
            for (kind, amax) in begun.drain(..begun.len().saturating_sub(left)) {
                let seen = counter.end().map_err(|e| e.to_string())?;
                let seen: Vec<(f32, bool)> = seen.iter().map(|s| (s.amax, s.finite)).collect();
                if seen != amax {
                    return Err(format!(
                        "{kind:?}: the images' largest magnitudes are {seen:?}, not {amax:?}"
                    ));
                }
            }
        }
        let counter = executor.counter().ok_or("it does not count any more")?;
        let ours = counter.take().map_err(|e| e.to_string())?;
        for ((w, ours), host) in watched.iter().zip(ours).zip(host) {
            for (group, (ours, host)) in ours.into_iter().zip(host).enumerate() {
                same(stats(ours), host).map_err(|what| format!("{}, group {group}: {what}", w.operand))?;
                compared += 1;
            }
        }
    }
    Ok(compared)
}

/// Names the first difference.
fn same(ours: Stats, mut host: Stats) -> Result<(), String> {
    host.amax_sample = None; // the caller's business
    if host.count + host.non_finite == 0 {
        let nothing =
            ours.count + ours.non_finite == 0 && ours.positive.is_empty() && ours.negative.is_empty();
        return if nothing { Ok(()) } else { Err("something was counted of nothing".into()) };
    }
    let numbers =
        |s: &Stats| (s.count, s.zeros, s.non_finite, s.min, s.max, s.positive.exp(), s.negative.exp());
    let pairs = [
        (numbers(&ours) == numbers(&host), format!("{:?} for {:?}", numbers(&ours), numbers(&host))),
        (ours.positive == host.positive, "bins of positive values".into()),
        (ours.negative == host.negative, "bins of negative values".into()),
        (ours.channel_amax == host.channel_amax, "magnitudes of channels".into()),
        (ours.means == host.means, "sums of channels".into()),
        (ours == host, "something else".into()),
    ];
    pairs.into_iter().find(|(equal, _)| !equal).map_or(Ok(()), |(_, what)| Err(what))
}

fn largest(values: &[f32]) -> f32 {
    values.iter().filter(|x| x.is_finite()).fold(0.0, |m, x| x.abs().max(m))
}

fn slot(o: &Operand, end: &mut usize) -> Slot {
    let stride = o.extent().next_multiple_of(4);
    let slot = Slot { offset: end.next_multiple_of(64), stride };
    *end = slot.offset + stride * IMAGES;
    slot
}

/// Writes an image where its elements lie; gaps are not finite, so that whoever reads them counts them.
fn place(o: &Operand, values: &[f32], bytes: &mut [u8]) {
    let to: &mut [f32] = bytemuck::cast_slice_mut(&mut bytes[..o.extent()]);
    to.fill(f32::NAN);
    values.iter().enumerate().for_each(|(i, &x)| to[o.spread(i)] = x);
}

fn watched() -> Vec<Watched> {
    let last = Layout::ChannelsLast;
    let forms: [(&[usize], Layout, Option<usize>); 22] = [
        (&[1, 64, 14, 14], last, None),
        (&[1, 96, 7, 7], last, None),
        (&[1, 2052, 3, 5], last, None),
        (&[1, 10, 9, 4], last, None),
        (&[1, 3, 40, 40], last, None),
        (&[1, 2, 1, 7], last, None),
        (&[1, 12, 6, 6], last, Some(20)),
        (&[1, 5, 6, 6], last, Some(7)),
        (&[1, 131, 5, 5], last, Some(160)),
        (&[1, 3, 64, 64], Layout::Plain, None),
        (&[1, 3, 61, 67], Layout::Plain, None),
        (&[1, 33, 3, 3], Layout::Plain, None),
        (&[1, 6, 8, 8], Layout::Plain, Some(12)),
        (&[1, 40, 1, 1], Layout::Plain, None),
        (&[1, 40, 1, 1], Layout::Plain, Some(3)),
        (&[1, 1, 50, 50], Layout::Plain, None),
        (&[1, 1000], Layout::Plain, None),
        (&[1, 7], Layout::Plain, None),
        (&[1, 1], Layout::Plain, None),
        (&[1, 17, 192], Layout::Plain, None),
        (&[1, 2, 3, 4, 5], Layout::Plain, None),
        (&[9001], Layout::Plain, None),
    ];
    let of = |(i, (shape, layout, pitch)): (usize, (&[usize], Layout, Option<usize>))| {
        let operand = Operand { pitch, ..Operand::new(DType::F32, Shape::new(shape), layout) };
        let (channels, inner) = channels(&operand.shape, operand.layout);
        Watched { port: Port::Input(i), operand, channels, inner }
    };
    forms.into_iter().enumerate().map(of).collect()
}

/// What values look like.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Small,
    Rectified,
    Common,
    Odd,
    Denormal,
    Zeros,
    Above,
    Below,
    Clamped,
    Huge,
}

const KINDS: [Kind; 10] = [
    Kind::Small,
    Kind::Rectified,
    Kind::Common,
    Kind::Zeros,
    Kind::Denormal,
    Kind::Above,
    Kind::Below,
    Kind::Clamped,
    Kind::Odd,
    Kind::Huge,
];

fn value(kind: Kind, random: &mut SplitMix64) -> f32 {
    let x = random.signed_unit();
    match kind {
        Kind::Small => x * 1e-4,
        Kind::Rectified => x.max(0.0) * 3.0,
        Kind::Common => x * x * x * 20.0,
        Kind::Zeros => 0.0 * x,
        Kind::Denormal => f32::from_bits(random.below(5000) as u32) * x.signum(),
        Kind::Above => 1.0 + x.abs(),
        Kind::Below => -7.0 - x.abs(),
        Kind::Clamped => (9.0 * x).clamp(0.0, 6.0),
        Kind::Huge => x * f32::MAX,
        Kind::Odd => match random.below(12) {
            0 => f32::NAN,
            1 => f32::INFINITY,
            2 => f32::NEG_INFINITY,
            3 => -0.0,
            4 => f32::from_bits(random.next_u64() as u32),
            _ => x,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Digest;
    use crate::calib::cache::{Activations, Cache, Provenance};
    use crate::data::dataset::Sample;
    use crate::device::cuda::Cuda;
    use crate::engine::{Engine, Session};
    use crate::pipeline::fp32::small_engine;
    use crate::pipeline::watch::Watch;
    use crate::rewrite::RULES;

    #[test]
    fn the_gpu_counts_what_the_host_counts() {
        match Cuda::open(0) {
            Ok(gpu) => println!("{}: {} groups compared", gpu.id(), run(&gpu).unwrap()),
            Err(why) => println!("cuda: absent ({}), skipped", why.what),
        }
    }

    fn empty() -> Cache {
        let d = Digest::of(b"");
        let (model, data_list, data_content, preprocessing) = (d, d, d, d);
        let activations = Activations::U8;
        Cache::new(Provenance { model, data_list, data_content, preprocessing, activations, samples: 11 })
    }

    /// The statistics of a network over 11 samples one by one, taken in between too.
    fn observed(device: &dyn Device, engine: &Engine, remote: bool) -> Cache {
        let mut session = Session::new(engine, device).unwrap();
        let mut cache = empty();
        let mut watch = Watch::new(engine, &mut cache);
        if remote {
            watch.on_device(&mut session, 1).unwrap();
        }
        let mut random = SplitMix64::new(5);
        for index in 0..11 {
            for i in 0..session.inputs().len() {
                session.input_mut(i, 1).iter_mut().for_each(|x| *x = random.signed_unit() * index as f32);
            }
            let name = format!("{}.png", 20 - index);
            let sample = Sample { values: vec![], shape: Shape::new(&[]), label: None, name, index };
            watch.run(&mut session, &[sample]).unwrap();
            if index == 6 {
                watch.write_to(&mut cache, &mut session).unwrap();
            }
        }
        watch.write_to(&mut cache, &mut session).unwrap();
        cache
    }

    #[test]
    fn a_calibration_on_the_gpu_is_that_of_its_activations_on_the_host() {
        let gpu = match Cuda::open(0) {
            Ok(gpu) => gpu,
            Err(why) => return println!("cuda: absent ({}), skipped", why.what),
        };
        let mut tensors = 0;
        for seed in 0..8 {
            let mut g = crate::ir::r#gen::random(seed);
            crate::rewrite::run(&mut g, RULES).unwrap();
            let engine = small_engine(&g, &gpu).unwrap();
            let (there, here) = (observed(&gpu, &engine, true), observed(&gpu, &engine, false));
            for (name, entry) in &here.tensors {
                let parts = entry.stats.parts.iter().zip(&there.tensors[name].stats.parts);
                parts.for_each(|(here, there)| assert!(here == there, "{seed}: {name}\n{g}"));
            }
            assert!(there == here);
            tensors += here.tensors.len();
        }
        println!("{tensors} tensors compared");
    }
}
