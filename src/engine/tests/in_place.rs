//! A sum lies over what is added, where nobody reads that later.

use super::*;
use crate::plan::{Buffer, Plan, check::check};

/// `c` adds `a` to what it computes from `b`; then `d` reads `c`, and `last` too or not.
fn network(last: &str) -> Graph {
    let text = IMAGE.to_string()
        + &constant("w", &[4, 4, 1, 1], 0.3)
        + &conv("a", "x", "w", "", "1,4,6,6")
        + &conv("b", "a", "w", "", "1,4,6,6")
        + "%c: f32[1,4,6,6] = Conv(%b, %w, %a) {residual=1}  # c\n"
        + &format!("%d: f32[1,4,6,6] = Conv(%c, %w, {last}) {{residual=1}}  # d\noutput %d\n");
    let mut g = Graph::parse(&text).unwrap();
    with_scales(&mut g, &Settings::default());
    g
}

fn of<'p>(p: &'p Plan, value: &str) -> &'p Buffer {
    p.buffers.iter().find(|b| b.value == value && b.quant.is_some()).unwrap()
}

#[test]
fn a_sum_lies_over_what_is_read_for_the_last_time() {
    for device in [&cpu() as &dyn Device, &Interp] {
        let over = build(&network("%b"), device, 2).unwrap().plan;
        assert_eq!(of(&over, "c").offset, of(&over, "a").offset);
        assert!(of(&over, "c").within.is_some());
        // `d` reads `a` once more
        let apart = build(&network("%a"), device, 2).unwrap().plan;
        assert_ne!(of(&apart, "c").offset, of(&apart, "a").offset);
        assert!(over.arena <= apart.arena);
    }
    compare(&network("%b"));
    compare(&network("%a"));
}

#[test]
fn what_is_read_later_or_lies_otherwise_is_not_written_over() {
    let g = network("%a");
    let good = build(&g, &Interp, 2).unwrap().plan;
    assert_eq!(check(&good, &g), Ok(()));
    let found = |sentence: &str, fault: &dyn Fn(&mut Plan)| {
        let mut p = good.clone();
        fault(&mut p);
        let found = check(&p, &g).unwrap_err();
        assert!(found.iter().any(|f| f.contains(sentence)), "{found:?}");
    };
    let place = |p: &mut Plan, value: &str, at: usize| {
        p.buffers.iter_mut().find(|b| b.value == value && b.quant.is_some()).unwrap().offset = at;
    };
    let (a, b) = (of(&good, "a").offset, of(&good, "b").offset);
    found("not there", &|p| place(p, "c", a));
    // what is multiplied is read for many numbers of the output
    found("own operands", &|p| place(p, "c", b));
    found("own operands", &|p| place(p, "c", a + 64));
}
