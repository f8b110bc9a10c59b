//! Every operation of every instruction set against plain arithmetic.

use super::*;
use crate::base::quant::rint;
use crate::base::random::SplitMix64;

const MOST: usize = 4 * MOST_LANES;

fn random(n: &mut SplitMix64) -> [u8; MOST] {
    std::array::from_fn(|_| (n.next_u64() >> 40) as u8)
}

fn ints<S: Simd>(v: S::I) -> Vec<i32> {
    let mut out = [0i32; MOST_LANES];
    // SAFETY: the tests ask for what the machine has.
    unsafe { S::store(out.as_mut_ptr().cast(), v) };
    out[..S::LANES].to_vec()
}

fn bytes<S: Simd>(v: S::I) -> Vec<u8> {
    bytemuck::pod_collect_to_vec(&ints::<S>(v))
}

/// Numbers of all sizes, packed with a zero point, and stored in parts.
///
/// # Safety
/// As for [`Simd`].
unsafe fn packs<S: Simd>(wide: [S::I; 4], zero: i32) {
    // SAFETY: the caller's promise; `out` has room for whole registers.
    unsafe {
        let small = wide.map(|v| S::round(S::mul_f(S::to_float(v), S::splat_f(2f32.powi(-22)))));
        for v in [wide, small] {
            let numbers = v.map(ints::<S>).concat();
            for zero in [zero, zero + 128] {
                let want: Vec<u8> =
                    numbers.iter().map(|&x| (i64::from(x) + i64::from(zero)).clamp(0, 255) as u8).collect();
                let packed = S::pack(v, S::splat(pair(zero)));
                assert_eq!(bytes::<S>(packed), want);
                let mut out = [0u8; MOST];
                let to = out.as_mut_ptr();
                S::store_parts([1, 0].map(|i| to.add(S::BYTES / 2 * i)), packed);
                let (a, b) = want.split_at(S::BYTES / 2);
                assert_eq!(out[..S::BYTES], [b, a].concat());
                let to = out.as_mut_ptr();
                S::store_parts([3, 1, 2, 0].map(|i| to.add(S::BYTES / 4 * i)), packed);
                let parts: Vec<&[u8]> = want.chunks(S::BYTES / 4).collect();
                assert_eq!(out[..S::BYTES], [parts[3], parts[1], parts[2], parts[0]].concat());
            }
        }
    }
}

fn integers<S: Simd>() {
    let mut seed = SplitMix64::new(1);
    for _ in 0..200 {
        let [a, b, c, d] = [(); 4].map(|()| random(&mut seed));
        // SAFETY: the caller knows that the machine has it; arrays are as long as the widest register.
        unsafe {
            let [va, vb, vc, vd] = [&a, &b, &c, &d].map(|x| S::load(x.as_ptr()));
            let acc: [i32; MOST_LANES] = bytemuck::cast(c);
            for (l, got) in ints::<S>(S::dot4(vc, va, vb)).into_iter().enumerate() {
                let sum: i64 =
                    (4 * l..4 * l + 4).map(|i| i64::from(a[i]) * i64::from(b[i] as i8)).sum::<i64>();
                assert_eq!(got, (i64::from(acc[l]) + sum) as i32);
            }
            let q = quads::<S>(va, vb, vc, vd);
            for (register, got) in q.into_iter().enumerate() {
                for (lane, got) in bytes::<S>(got).chunks(4).enumerate() {
                    let i = quad_byte(register, lane);
                    assert_eq!(got, [a[i], b[i], c[i], d[i]]);
                }
            }
            let order = S::unquads(q).map(bytes::<S>).concat();
            for (i, got) in order.chunks(4).enumerate() {
                assert_eq!(got, [a[i], b[i], c[i], d[i]], "byte {i}");
            }
            assert_eq!(bytes::<S>(S::xor(va, vb))[5], a[5] ^ b[5]);
            let (most, least) = (bytes::<S>(S::max_u8(va, vb)), bytes::<S>(S::min_u8(va, vb)));
            for (i, (most, least)) in most.iter().zip(&least).enumerate() {
                assert_eq!((*most, *least), (a[i].max(b[i]), a[i].min(b[i])), "byte {i}");
            }
            packs::<S>([va, vb, vc, vd], i32::from(c[0]) - 128);
            for n in 0..=S::LANES {
                let mut out = [7u8; MOST];
                S::narrow(out.as_mut_ptr(), va, n);
                assert!((0..MOST).all(|i| out[i] == if i < n { a[4 * i] } else { 7 }));
                let mut out = [7u8; MOST];
                S::store_n(out.as_mut_ptr(), S::load_n(a.as_ptr(), n), n);
                assert!((0..MOST).all(|i| out[i] == if i < 4 * n { a[i] } else { 7 }));
                let (u, s) = (ints::<S>(S::widen_u8(a.as_ptr(), n)), ints::<S>(S::widen_i8(a.as_ptr(), n)));
                assert!((0..n).all(|i| u[i] == i32::from(a[i]) && s[i] == i32::from(a[i] as i8)));
            }
        }
    }
}

fn floats<S: Simd>() {
    let numbers = [-1.5f32, -0.5, 0.5, 1.5, 2.5, 1e-20, 3e4, -7.25, 0.1, -1e9, f32::NAN, f32::INFINITY];
    for &a in &numbers {
        for &b in &numbers {
            // SAFETY: the caller knows that the machine has it.
            unsafe {
                let (va, vb) = (S::splat_f(a), S::splat_f(b));
                let first = |v: S::F| f32::from_bits(ints::<S>(S::bits(v))[0] as u32);
                let same = |got: f32, want: f32| {
                    assert!(got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan(), "{got} {want}");
                };
                same(first(S::fma(va, vb, S::splat_f(0.3))), a.mul_add(b, 0.3));
                same(first(S::add_f(va, vb)), a + b);
                same(first(S::sub_f(va, vb)), a - b);
                same(first(S::mul_f(va, vb)), a * b);
                same(first(S::div_f(va, vb)), a / b);
                same(first(S::max_f(va, vb)), if a > b { a } else { b });
                same(first(S::min_f(va, vb)), if a < b { a } else { b });
                if a.abs() < 2e9 {
                    assert_eq!(ints::<S>(S::round(va))[0], rint(a) as i32);
                    same(first(S::to_float(S::round(va))), rint(a) as i32 as f32);
                }
                same(first(S::scale_by_power(S::splat_f(1.7), S::splat(-100))), 1.7 * 2f32.powi(-100));
            }
        }
    }
}

#[test]
fn every_instruction_set_of_this_machine() {
    for isa in Isa::ALL.into_iter().filter(|i| i.available()) {
        with_simd!(isa, S => {
            // SAFETY: the machine has it.
            unsafe { S::within(#[inline(always)] || { integers::<S>(); floats::<S>() }) }
        });
        #[cfg(all(target_arch = "x86_64", feature = "simd"))]
        if isa == Isa::Avx512Vnni {
            // SAFETY: the machine has it.
            unsafe {
                Vnni256::within(
                    #[inline(always)]
                    || {
                        integers::<Vnni256>();
                        floats::<Vnni256>()
                    },
                )
            }
        }
    }
}
