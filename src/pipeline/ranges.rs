//! From statistics to scales: a range per tensor and method, one chosen, groups unified, oddities named.

use crate::base::DType;
use crate::base::quant::{QuantParams, Range};
use crate::calib::cache::{Cache, Candidate, Chosen, Entry};
use crate::calib::flags::{self, Flag, Subject};
use crate::calib::methods::{self, Levels, Method, MethodName, Options};
use crate::calib::stats::Stats;
use crate::config::job::{Activations, Arithmetic, Precision};
use crate::ir::{Graph, ValueId};
use crate::quant::annotate::params;
use crate::quant::{self, Coding, Settings};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// How many integers a coding has, and whether its range has two ends.
pub fn levels(coding: Coding) -> (Levels, bool) {
    match coding {
        Coding::Signed => (Levels::S8, false),
        Coding::Unsigned => (Levels::U8, false),
        Coding::Shifted => (Levels::U8, true),
    }
}

/// The range of a tensor by one method.
pub fn range_of(stats: &Stats, method: &dyn Method, coding: Coding, options: &Options) -> Range {
    let (levels, asymmetric) = levels(coding);
    methods::range(stats, method, levels, asymmetric, options)
}

/// For each tensor, the ranges by these methods over all samples. Tensors without a coding are left out.
pub fn candidates(
    g: &Graph,
    codings: &[Option<Coding>],
    cache: &mut Cache,
    options: &Options,
    by: &[&dyn Method],
) {
    let coding: BTreeMap<&str, Coding> = g
        .live_values()
        .into_iter()
        .filter_map(|v| Some((g.value(v).name.as_str(), codings[v.index()]?)))
        .collect();
    let entries: Vec<_> = cache.tensors.iter_mut().collect();
    entries.into_par_iter().for_each(|(name, entry)| {
        let Some(&coding) = coding.get(name.as_str()) else { return };
        let all = entry.stats.all();
        let each = by.iter().map(|m| {
            let error = entry.candidates.get(m.name()).and_then(|c| c.error);
            (m.name().to_string(), Candidate { range: range_of(&all, *m, coding, options), error })
        });
        entry.candidates = each.collect();
    });
}

/// For each tensor, the methods' thresholds by their names: those of the candidates, and of `others` too where there are
/// any and a choice shows how the tensor is coded.
pub fn thresholds(
    cache: &Cache,
    options: &Options,
    others: &[&dyn Method],
) -> BTreeMap<String, BTreeMap<String, f32>> {
    let of = |(name, entry): (&String, &Entry)| {
        let known = entry.candidates.iter().map(|(m, c)| (m.clone(), c.range.amax()));
        let mut all: BTreeMap<String, f32> = known.collect();
        let more: Vec<_> = others.iter().filter(|m| !all.contains_key(m.name())).collect();
        if let Some(chosen) = entry.chosen.as_ref().filter(|_| !all.is_empty() && !more.is_empty()) {
            let (coding, stats) = (coding_of(chosen), entry.stats.all());
            all.extend(more.iter().map(|m| (m.name().into(), range_of(&stats, **m, coding, options).amax())));
        }
        (name.clone(), all)
    };
    cache.tensors.par_iter().map(of).collect()
}

/// How a tensor is coded, as its choice shows it.
fn coding_of(chosen: &Chosen) -> Coding {
    match chosen.params.dtype {
        DType::I8 => Coding::Signed,
        _ if chosen.range.lo < 0.0 => Coding::Shifted,
        _ => Coding::Unsigned,
    }
}

/// The method of each tensor: the one asked for, or the winner of `auto` (its name by tensor; minmax where nobody
/// asked for 8 bits).
pub type Winners = BTreeMap<String, &'static str>;

/// The method that won a tensor.
pub fn winner(winners: &Winners, tensor: &str) -> &'static str {
    winners.get(tensor).copied().unwrap_or("minmax")
}

/// The ranges that `of` gives for tensors (by name, as they are coded), one for each group that shares a scale. Tensors
/// with a scale of the model's own (Q/DQ) have none.
pub fn unified(
    g: &Graph,
    codings: &mut [Option<Coding>],
    of: impl Fn(&str, Coding) -> Option<Range>,
) -> Vec<Option<Range>> {
    let mut ranges: Vec<Option<Range>> = vec![None; g.value_count()];
    for v in g.live_values().into_iter().filter(|&v| g.value(v).quant.is_none()) {
        ranges[v.index()] = codings[v.index()].and_then(|coding| of(&g.value(v).name, coding));
    }
    quant::unify(g, codings, &mut ranges);
    ranges
}

/// Chooses, unifies and writes [`Chosen`] into the cache. The graph must have precisions.
pub fn choose(
    g: &Graph,
    mut codings: Vec<Option<Coding>>,
    cache: &mut Cache,
    method: MethodName,
    winners: &Winners,
) {
    let name_of = |v: &str| match method {
        MethodName::One(m) => m.name(),
        MethodName::Auto => winner(winners, v),
    };
    let candidate = |name: &str, _| Some(cache.tensors.get(name)?.candidates.get(name_of(name))?.range);
    let ranges = unified(g, &mut codings, candidate);
    for v in g.live_values() {
        let value = g.value(v);
        let (Some(range), Some(coding)) = (ranges[v.index()], codings[v.index()]) else { continue };
        let Some(entry) = cache.tensors.get_mut(&value.name) else { continue };
        entry.aliases = value.folded.clone();
        let method = name_of(&value.name).to_string();
        entry.chosen = Some(Chosen { method, range, params: params(coding, range), imported: None });
    }
}

/// Gives groups of tensors that must share a scale one of their imported scales, to the bit: that of the widest.
pub fn unify_imported(g: &Graph, mut codings: Vec<Option<Coding>>, cache: &mut Cache) {
    let chosen = |cache: &Cache, v: ValueId| -> Option<Chosen> {
        let value = g.value(v);
        cache.tensors.get(&value.name)?.chosen.clone().filter(|_| value.quant.is_none())
    };
    let before: Vec<Option<Chosen>> = (0..g.value_count()).map(|v| chosen(cache, ValueId::from(v))).collect();
    let own = codings.clone();
    let mut ranges: Vec<Option<Range>> = before.iter().map(|c| c.as_ref().map(|c| c.range)).collect();
    quant::unify(g, &mut codings, &mut ranges);
    for v in g.live_values() {
        let i = v.index();
        let (Some(range), Some(coding), Some(was)) = (ranges[i], codings[i], &before[i]) else { continue };
        if (range.amax(), Some(coding)) == (was.range.amax(), own[i]) {
            continue;
        }
        let same = |(c, o): (&Option<Chosen>, &Option<Coding>)| {
            let c = c.as_ref().filter(|c| c.range.amax() == range.amax() && *o == Some(coding))?;
            Some((c.range, c.params))
        };
        let range = match coding {
            Coding::Unsigned => Range::unsigned(range.amax()),
            _ => Range::symmetric(range.amax()),
        };
        let (range, params) =
            before.iter().zip(&own).find_map(same).unwrap_or((range, params(coding, range)));
        if let Some(c) = cache.tensors.get_mut(&g.value(v).name).and_then(|e| e.chosen.as_mut()) {
            (c.range, c.params) = (range, params);
        }
    }
}

/// For each tensor that took another's threshold, the name of that tensor.
pub fn sharing(g: &Graph, cache: &Cache) -> BTreeMap<String, String> {
    let own = |name: &str| {
        let entry = cache.tensors.get(name)?;
        let chosen = entry.chosen.as_ref()?;
        Some((entry.candidates.get(&chosen.method)?.range.amax(), chosen.range.amax()))
    };
    let relatives = quant::relatives(g);
    let live = g.live_values();
    let name = |v: ValueId| &g.value(v).name;
    let lender = |v: ValueId| {
        let (mine, taken) = own(name(v))?;
        let lends = |u: &&ValueId| {
            relatives[u.index()] == relatives[v.index()]
                && own(name(**u)).is_some_and(|(its, _)| its == taken)
        };
        let lender = live.iter().filter(|_| mine != taken).find(lends)?;
        Some((name(v).clone(), name(*lender).clone()))
    };
    live.iter().filter_map(|&v| lender(v)).collect()
}

/// The parameters that the cache has for each value.
pub fn params_of(g: &Graph, cache: &Cache) -> Vec<Option<QuantParams>> {
    let of = |v: usize| cache.tensors.get(&g.value(ValueId::from(v)).name)?.chosen.as_ref().map(|c| c.params);
    (0..g.value_count()).map(of).collect()
}

/// What is odd about each tensor.
pub fn flags(cache: &Cache, options: &Options) -> BTreeMap<String, (Vec<Flag>, Option<[Range; 2]>)> {
    let entries: Vec<_> = cache.tensors.iter().collect();
    let examine = |(name, entry): (&String, &Entry)| {
        let chosen = entry.chosen.as_ref()?;
        let method = methods::find(&chosen.method)?;
        let coding = coding_of(chosen);
        let of = |s: &Stats| range_of(s, method, coding, options);
        let halves = flags::halves(&entry.stats, of);
        let stats = entry.stats.all();
        let found = flags::examine(&Subject { stats: &stats, range: chosen.range, halves });
        Some((name.clone(), (found, halves)))
    };
    entries.into_par_iter().filter_map(examine).collect()
}

/// What the configuration says about precision, as the quantization room has it.
pub fn settings(p: &Precision) -> Settings {
    Settings {
        unsigned: p.activations == Activations::U8,
        int8: p.default == Arithmetic::Int8,
        rules: p.rules.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Digest;
    use crate::calib::cache::{self, Provenance};
    use crate::calib::methods::METHODS;
    use crate::calib::shards::TensorStats;

    /// A report shows what every method says, whichever was asked for: the same as if all had been, however the tensor is
    /// coded.
    #[test]
    fn thresholds_of_all_methods_follow_from_one() {
        let options = Options { percentile: 90.0 };
        let d = Digest::of(b"");
        let (model, data_list, data_content, preprocessing) = (d, d, d, d);
        let activations = cache::Activations::U8;
        let provenance =
            Provenance { model, data_list, data_content, preprocessing, activations, samples: 10 };
        for coding in [Coding::Signed, Coding::Unsigned, Coding::Shifted] {
            let mut stats = TensorStats::new(1);
            let least = if coding == Coding::Unsigned { 0.0 } else { -0.75 };
            (0..10).for_each(|i| stats.update(i, &[0.5, 1.0 + i as f32, 3.0, least], 1));
            let of = |m: &dyn Method| range_of(&stats.all(), m, coding, &options);
            let (asked, mut entry) = (METHODS[1], Entry::new(stats.clone()));
            let (method, range) = (asked.name().to_string(), of(asked));
            entry.candidates.insert(method.clone(), Candidate { range, error: None });
            entry.chosen = Some(Chosen { method, range, params: params(coding, range), imported: None });
            let mut cache = Cache::new(provenance);
            cache.tensors.insert("x".into(), entry);
            let want = METHODS.iter().map(|m| (m.name().to_string(), of(*m).amax()));
            assert_eq!(thresholds(&cache, &options, METHODS)["x"], want.collect(), "{coding:?}");
            assert_eq!(thresholds(&cache, &options, &[])["x"].len(), 1);
        }
    }
}
