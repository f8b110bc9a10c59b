//! The 19 data sets: 65,536 numbers each, made with additions, multiplications, comparisons and one square root in
//! f64, so that every machine makes the same bits.

/// Numbers of a set.
const N: usize = 65536;

/// Name, and the head of the BLAKE3 digest of the little-endian bytes. The digests were taken from bytes whose
/// SHA-256 is the one in golden.json.
pub const DATA_SETS: &[(&str, &str)] = &[
    ("normal", "2b4f9e484d9165bd"),
    ("laplace", "c05fce81328d7090"),
    ("relu_normal", "ad4e3a36ea9a1595"),
    ("exponential", "6c9cce0207f4d3ab"),
    ("bimodal", "fb136e7528f0a9e4"),
    ("normal_outlier100", "744446ff8aba7df8"),
    ("student_t3", "a1119b1583661da9"),
    ("uniform", "7d81770f62e822eb"),
    ("relu6", "3b212ae22a89942e"),
    ("const_zero", "86bb2b521a10612d"),
    ("const_0p7", "c0fb0961a1c8e03c"),
    ("two_point", "2461668ab5f12b79"),
    ("tiny_1e-30", "e1ac2c14def36831"),
    ("denormal", "4384f4a54a417e5d"),
    ("huge_1e30", "145f0a2cc15a3f6b"),
    ("neg_exponential", "25dd7c0f0e25dcf6"),
    ("int_grid", "f3eef1373693764a"),
    ("sparse", "92e1bc60bacb03fa"),
    ("growing", "9d8fe7dfd0098d63"),
];

/// The numbers of a set.
pub fn data_set(name: &str) -> Vec<f32> {
    let normal = || drawn(1, Random::normal);
    let each = |f: &dyn Fn(usize) -> f64| (0..N).map(|i| f(i) as f32).collect::<Vec<f32>>();
    match name {
        "normal" => normal(),
        "laplace" => drawn(2, |r| {
            let e = r.exp();
            if r.uniform() < 0.5 { -e } else { e }
        }),
        "relu_normal" => drawn(3, |r| r.normal().max(0.0)),
        "exponential" => drawn(4, Random::exp),
        "bimodal" => drawn(5, |r| {
            let z = r.normal();
            if r.uniform() < 0.3 { 0.25 * z - 2.0 } else { 0.25 * z + 3.0 }
        }),
        "normal_outlier100" => {
            let mut values = normal();
            values[N - 1] = 100.0;
            values
        }
        "student_t3" => drawn(7, |r| {
            let [a, b, c, d] = [(); 4].map(|()| r.normal());
            a / (((b * b + c * c) + d * d) / 3.0).sqrt()
        }),
        "uniform" => drawn(8, |r| 2.0 * r.uniform() - 1.0),
        "relu6" => drawn(9, |r| (3.0 * r.normal() + 2.0).clamp(0.0, 6.0)),
        "const_zero" => vec![0.0; N],
        "const_0p7" => vec![0.7; N],
        "two_point" => each(&|i| if i % 4 == 0 { -1.0 } else { 3.0 }),
        "tiny_1e-30" => normal().into_iter().map(|x| (f64::from(x) * 1e-30) as f32).collect(),
        "huge_1e30" => normal().into_iter().map(|x| (f64::from(x) * 1e30) as f32).collect(),
        "denormal" => (0..N as u32).map(f32::from_bits).collect(),
        "neg_exponential" => drawn(4, Random::exp).into_iter().map(|x| -x).collect(),
        "int_grid" => each(&|i| (i % 256) as f64 - 128.0),
        "sparse" => drawn(18, |r| {
            let (c, e) = (r.uniform(), r.exp());
            if c < 0.001 { e } else { 0.0 }
        }),
        "growing" => {
            let grown = |(i, x)| (f64::from(x) * (1 + i / 8192) as f64) as f32;
            normal().into_iter().enumerate().map(grown).collect()
        }
        _ => panic!("no data set {name}"),
    }
}

fn drawn(seed: u64, draw: impl Fn(&mut Random) -> f64) -> Vec<f32> {
    let mut random = Random(seed);
    random.uniform(); // one draw is discarded
    (0..N).map(|_| draw(&mut random) as f32).collect()
}

/// A linear congruential generator (Knuth's MMIX constants).
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Von Neumann's method: only additions and comparisons.
    fn exp(&mut self) -> f64 {
        let mut k = 0.0;
        loop {
            let first = self.uniform();
            let (mut previous, mut n) = (first, 1);
            loop {
                let v = self.uniform();
                if v >= previous {
                    break;
                }
                previous = v;
                n += 1;
            }
            if n % 2 == 1 {
                return k + first;
            }
            k += 1.0;
        }
    }

    /// Kahn's method, by rejection from two exponentials.
    fn normal(&mut self) -> f64 {
        let x = loop {
            let (x, y) = (self.exp(), self.exp());
            let d = x - 1.0;
            if y > 0.5 * (d * d) {
                break x;
            }
        };
        if self.uniform() < 0.5 { -x } else { x }
    }
}
