//! A binary search tree walked in order by a recursive generator, and two trees compared as they are walked:
//! the "same fringe" problem, which callbacks cannot solve without a list of everything, and hand-written iterators
//! not without a stack of their own.
//!
//!     cargo run --release --example tree_walk

use layby::generator::{Generator, Yielder, gen_iter};
use std::rc::Rc;

/// A subtree, shared with whoever walks it.
type Tree = Option<Rc<Node>>;

struct Node {
    left: Tree,
    value: u32,
    right: Tree,
}

/// The tree that inserting the values one after the other makes.
fn tree(values: &[u32]) -> Tree {
    let (&value, rest) = values.split_first()?;
    let (left, right): (Vec<u32>, Vec<u32>) = rest.iter().partition(|&&other| other < value);
    Some(Rc::new(Node { left: tree(&left), value, right: tree(&right) }))
}

/// The values in order. Each subtree is a generator of its own, and what the innermost one hands out goes straight to the
/// caller, however deep it is.
fn walk(tree: Tree) -> Generator<(), u32, ()> {
    gen_iter(move |y| {
        let Some(node) = tree else { return };
        y.delegate(walk(node.left.clone()), ());
        y.suspend(node.value);
        y.delegate(walk(node.right.clone()), ());
    })
}

/// The same by plain recursion: one generator, whose stack holds the way down.
fn walk_in_one(tree: Tree) -> Generator<(), u32, ()> {
    fn visit(y: &Yielder<(), u32>, tree: &Tree) {
        if let Some(node) = tree {
            visit(y, &node.left);
            y.suspend(node.value);
            visit(y, &node.right);
        }
    }
    gen_iter(move |y| visit(y, &tree))
}

/// Whether both trees have the same values, whatever their shapes; and how many values had to be looked at.
fn same_fringe(a: &Tree, b: &Tree) -> (bool, usize) {
    let (mut a, mut b) = (walk(a.clone()), walk_in_one(b.clone()));
    let mut looked = 0;
    loop {
        match (a.next(), b.next()) {
            (None, None) => return (true, looked),
            (a, b) if a != b => return (false, looked + 1),
            _ => looked += 1,
        }
    }
}

fn main() {
    let small = tree(&[4, 2, 6, 1, 3, 5, 7]);
    println!("in order: {:?}", walk(small.clone()).collect::<Vec<_>>());

    // A balanced tree, and one that is a list: 300 generators deep.
    let numbers: Vec<u32> = (0..300).collect();
    let mut shuffled = numbers.clone();
    shuffled.sort_by_key(|n| n.wrapping_mul(2_654_435_769));
    let (list, bushy) = (tree(&numbers), tree(&shuffled));
    let (same, looked) = same_fringe(&list, &bushy);
    println!("a list and a bush of 300: same: {same}, looked at {looked}");

    shuffled.retain(|&n| n != 5);
    let (same, looked) = same_fringe(&list, &tree(&shuffled));
    println!("without the 5: same: {same}, looked at {looked}");

    let sum: u32 = walk(bushy).filter(|n| n % 2 == 0).take(10).sum();
    println!("the first ten even ones: {sum} in all");
}
