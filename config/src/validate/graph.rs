//! Cycles and orders of a directed graph; knows nothing of services. Iterative: a long chain of
//! dependencies must not overflow the stack.

use std::collections::BTreeSet;

/// `edges[a]` lists what `a` needs.
pub(super) type Edges = Vec<Vec<usize>>;

/// Cycles that together block everything that can never start, each beginning at its lowest node.
pub(super) fn cycles(edges: &Edges) -> Vec<Vec<usize>> {
    let mut remaining = Remaining::new(edges);
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = (from..edges.len()).find(|node| remaining.present[*node]) {
        from = start;
        let cycle = remaining.cycle_from(start);
        remaining.remove(&cycle);
        found.push(cycle);
    }
    found
}

/// Every node after what it needs, otherwise by number. Nodes on a cycle are left out.
pub(super) fn order(edges: &Edges) -> Vec<usize> {
    let mut missing: Vec<usize> = edges.iter().map(Vec::len).collect();
    let needed_by = reversed(edges);
    let mut free: BTreeSet<usize> = (0..edges.len()).filter(|node| missing[*node] == 0).collect();
    let mut order = Vec::new();
    while let Some(node) = free.pop_first() {
        order.push(node);
        for user in &needed_by[node] {
            missing[*user] -= 1;
            if missing[*user] == 0 {
                free.insert(*user);
            }
        }
    }
    order
}

fn reversed(edges: &Edges) -> Edges {
    let mut reversed = vec![Vec::new(); edges.len()];
    for (node, needs) in edges.iter().enumerate() {
        for need in needs {
            reversed[*need].push(node);
        }
    }
    reversed
}

/// The part of a graph in which every node still needs another one of the part.
struct Remaining<'a> {
    edges: &'a Edges,
    needed_by: Edges,
    needs: Vec<usize>,
    present: Vec<bool>,
}

impl<'a> Remaining<'a> {
    fn new(edges: &'a Edges) -> Self {
        let mut remaining = Self {
            edges,
            needed_by: reversed(edges),
            needs: edges.iter().map(Vec::len).collect(),
            present: vec![true; edges.len()],
        };
        let free: Vec<usize> = (0..edges.len()).filter(|n| remaining.needs[*n] == 0).collect();
        remaining.remove(&free);
        remaining
    }

    fn remove(&mut self, nodes: &[usize]) {
        let mut queue = nodes.to_vec();
        for node in nodes {
            self.present[*node] = false;
        }
        while let Some(node) = queue.pop() {
            for user in &self.needed_by[node] {
                self.needs[*user] -= 1;
                if self.needs[*user] == 0 && self.present[*user] {
                    self.present[*user] = false;
                    queue.push(*user);
                }
            }
        }
    }

    fn cycle_from(&self, start: usize) -> Vec<usize> {
        let mut path = vec![start];
        let mut seen = BTreeSet::from([start]);
        loop {
            let node = path[path.len() - 1];
            let next = self.edges[node]
                .iter()
                .copied()
                .find(|need| self.present[*need])
                .expect("every remaining node needs a remaining one");
            if !seen.insert(next) {
                let first = path.iter().position(|node| *node == next).expect("it was seen");
                let mut cycle = path.split_off(first);
                let lowest = (0..cycle.len()).min_by_key(|i| cycle[*i]).expect("not empty");
                cycle.rotate_left(lowest);
                return cycle;
            }
            path.push(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cycle_is_found_once_and_begins_at_its_lowest_node() {
        let edges = vec![vec![1], vec![2], vec![0], vec![4], vec![3], vec![0], vec![6]];
        assert_eq!(cycles(&edges), [vec![0, 1, 2], vec![3, 4], vec![6]]);
        assert_eq!(cycles(&vec![vec![1], vec![2], vec![]]), Vec::<Vec<usize>>::new());
    }

    #[test]
    fn the_order_is_by_need_and_then_by_number() {
        assert_eq!(order(&vec![vec![2], vec![], vec![], vec![0]]), [1, 2, 0, 3]);
    }

    #[test]
    fn a_chain_of_a_hundred_thousand_does_not_overflow() {
        let mut edges: Edges = (1..100_000).map(|node| vec![node]).collect();
        edges.push(vec![0]);
        assert_eq!(cycles(&edges).len(), 1);
        edges[99_999].clear();
        assert_eq!(order(&edges).len(), 100_000);
    }
}
