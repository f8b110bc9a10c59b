//! Random small graphs, for tests: chains and branches of what networks are made of, with small constants.

use super::graph::{Fact, Graph, Node, Value, ValueId};
use super::ops::{
    Binary, BinaryFn, Concat, Conv, Fused, Linear, Op, Pads, Pool, PoolFn, Reshape, Unary, UnaryFn, Window,
};
use crate::base::random::SplitMix64;
use crate::base::{Shape, Tensor};

/// A random graph, the same for the same seed: an image, two to eight operators over it, and often a head of
/// pooling, flattening and a product. [`Graph::verify`] accepts it.
pub fn random(seed: u64) -> Graph {
    let mut b = Builder { g: Graph::new(format!("random {seed}")), random: SplitMix64::new(seed) };
    let size = 3 + b.below(4);
    let image = Shape::from([1, 1 + b.below(4), size, size + b.below(2)]);
    let mut live = vec![b.g.add_input("image", Fact::f32(image))];
    for _ in 0..2 + b.below(7) {
        let next = b.layer(&live);
        live.push(next);
    }
    let mut last = live[live.len() - 1];
    if b.below(3) > 0 {
        last = b.head(last);
    }
    b.g.add_output(last);
    b.g
}

/// Random graphs as a strategy of property tests. They shrink by their seed, which says little.
#[cfg(test)]
pub fn graph() -> impl proptest::strategy::Strategy<Value = Graph> {
    use proptest::strategy::Strategy;
    proptest::num::u64::ANY.prop_map(random)
}

struct Builder {
    g: Graph,
    random: SplitMix64,
}

impl Builder {
    fn below(&mut self, n: usize) -> usize {
        self.random.below(n)
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// A constant of multiples of 1/64 between -1 and 1.
    fn constant(&mut self, shape: Shape) -> ValueId {
        let v: Vec<f32> = (0..shape.numel()).map(|_| self.below(129) as f32 / 64.0 - 1.0).collect();
        let name = format!("c{}", self.g.value_count());
        self.g.add_value(Value::constant(name, Tensor::new(shape, &v)))
    }

    /// Adds a node with one output, whose type it infers; gives back its first input where it does not fit.
    fn node(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> ValueId {
        let op = op.into();
        let facts: Vec<Fact> = inputs.iter().map(|&v| self.g.value(v).fact.clone()).collect();
        let Ok(outputs) = op.infer(&facts) else { return inputs[0] };
        let name = format!("{}{}", op.kind().to_lowercase(), self.g.order().len());
        let out = self.g.add_value(Value::new(format!("{name}/out"), outputs[0].clone()));
        self.g.add_node(Node::new(name, op, inputs.to_vec(), vec![out]));
        out
    }

    fn layer(&mut self, live: &[ValueId]) -> ValueId {
        let x = if self.below(3) > 0 { live[live.len() - 1] } else { self.pick(live) };
        let shape = self.g.value(x).fact.shape.clone();
        let like = |g: &Graph, v: ValueId, axes: &[usize]| {
            axes.iter().all(|&a| g.value(v).fact.shape[a] == shape[a])
        };
        match self.below(6) {
            0 | 1 => self.conv(x, shape[1]),
            2 => {
                let f = self.pick(&[
                    UnaryFn::Relu,
                    UnaryFn::Clip { min: 0.0, max: 6.0 },
                    UnaryFn::Sigmoid,
                    UnaryFn::HardSwish,
                    UnaryFn::LeakyRelu { alpha: 0.1 },
                ]);
                self.node(Unary { f }, &[x])
            }
            3 => {
                let others: Vec<_> = live.iter().copied().filter(|&v| like(&self.g, v, &[1, 2, 3])).collect();
                let (f, other) = (self.pick(&[BinaryFn::Add, BinaryFn::Mul]), self.pick(&others));
                self.node(Binary::new(f), &[x, other])
            }
            4 => {
                let f = self.pick(&[PoolFn::Max, PoolFn::Average { include_pad: false }]);
                let strides = [1 + self.below(2), 1];
                self.node(Pool { f, window: Some(Window::new([2, 2], strides)) }, &[x])
            }
            _ => {
                let others: Vec<_> = live.iter().copied().filter(|&v| like(&self.g, v, &[2, 3])).collect();
                let other = self.pick(&others);
                self.node(Concat { axis: 1 }, &[x, other])
            }
        }
    }

    fn conv(&mut self, x: ValueId, channels: usize) -> ValueId {
        let groups = if self.below(3) == 0 { channels } else { 1 };
        let maps = groups * (1 + self.below(3));
        let k = self.pick(&[1, 3]);
        let w = self.constant([maps, channels / groups, k, k].into());
        let pads = self.pick(&[Pads::Explicit([0; 4]), Pads::Explicit([k / 2; 4]), Pads::SameUpper]);
        let window = Window { kernel: [0, 0], pads, ..Window::new([0, 0], [1 + self.below(2), 1]) };
        let mut inputs = vec![x, w];
        if self.below(2) == 0 {
            inputs.push(self.constant([maps].into()));
        }
        self.node(Conv { window, groups, fused: Fused::default() }, &inputs)
    }

    fn head(&mut self, x: ValueId) -> ValueId {
        let pooled = self.node(Pool { f: PoolFn::Average { include_pad: false }, window: None }, &[x]);
        let flat = self.node(Reshape::Flatten { axis: 1 }, &[pooled]);
        let k = self.g.value(flat).fact.shape[1];
        let n = 1 + self.below(5);
        let (w, bias) = (self.constant([n, k].into()), self.constant([n].into()));
        self.node(Linear { fused: Fused::default() }, &[flat, w, bias])
    }
}
