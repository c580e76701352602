//! The layout of the diagram of a network. Layers are ordered from top to bottom as they are computed, with branches side by
//! side. A long network has several columns, divided where a single line continues.

use std::collections::{BTreeMap, BTreeSet};

/// A place in the diagram: the column, the lane within the column, and the row, all from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cell {
    pub(super) column: usize,
    pub(super) lane: usize,
    pub(super) row: usize,
}

/// The places of all nodes, and of the lines between them: one place in each row, including both ends.
#[derive(Debug, PartialEq)]
pub(super) struct Layout {
    pub(super) nodes: Vec<Cell>,
    pub(super) lines: Vec<Vec<Cell>>,
    /// The number of lanes of each column.
    pub(super) lanes: Vec<usize>,
    /// The number of rows of the longest column.
    pub(super) rows: usize,
}

/// The approximate number of rows of a column.
const ROWS: usize = 22;

/// An item of a rank: a node, or a line that passes through on its way between two nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    Node(usize),
    Passing { from: usize, to: usize },
}

/// Returns the layout of a graph. `inputs` has the earlier nodes that each node reads.
///
/// # Panics
/// If a node reads itself or a later one.
pub(super) fn layout(inputs: &[Vec<usize>]) -> Layout {
    let ranks = ranks(inputs);
    let lanes = lanes(inputs, &ranks);
    let n_ranks = ranks.iter().max().map_or(0, |last| last + 1);
    let breaks = breaks(inputs, &ranks, n_ranks);
    let column_of = |rank: usize| breaks.iter().filter(|first| **first <= rank).count();
    let first_of = |column: usize| if column == 0 { 0 } else { breaks[column - 1] };
    let place = |rank: usize, item: Item| {
        let column = column_of(rank);
        Cell { column, lane: lanes[&(rank, item)], row: rank - first_of(column) }
    };
    let mut lines = Vec::new();
    for (to, reads) in inputs.iter().enumerate() {
        for &from in reads.iter().collect::<BTreeSet<_>>() {
            let passing = (ranks[from] + 1..ranks[to]).map(|rank| place(rank, Item::Passing { from, to }));
            let ends = [place(ranks[from], Item::Node(from)), place(ranks[to], Item::Node(to))];
            lines.push(std::iter::once(ends[0]).chain(passing).chain([ends[1]]).collect());
        }
    }
    let nodes: Vec<Cell> = (0..inputs.len()).map(|node| place(ranks[node], Item::Node(node))).collect();
    let mut layout = Layout { nodes, lines, lanes: Vec::new(), rows: 0 };
    layout.close_up(breaks.len() + 1);
    layout
}

impl Layout {
    /// Moves the lanes of each column as far left as possible, and counts lanes and rows.
    fn close_up(&mut self, columns: usize) {
        for column in 0..columns {
            let places = || self.nodes.iter().chain(self.lines.iter().flatten()).filter(|place| place.column == column);
            let first = places().map(|place| place.lane).min().unwrap_or(0);
            let last = places().map(|place| place.lane).max().unwrap_or(0);
            self.rows = self.rows.max(places().map(|place| place.row + 1).max().unwrap_or(0));
            let of_column = self.nodes.iter_mut().chain(self.lines.iter_mut().flatten());
            of_column.filter(|place| place.column == column).for_each(|place| place.lane -= first);
            self.lanes.push(last - first + 1);
        }
    }
}

/// Returns the rank of each node: one more than the highest rank among its inputs.
fn ranks(inputs: &[Vec<usize>]) -> Vec<usize> {
    let mut ranks: Vec<usize> = Vec::new();
    for reads in inputs {
        let rank = reads.iter().map(|input| ranks[*input] + 1).max().unwrap_or(0);
        ranks.push(rank);
    }
    ranks
}

/// Returns the lane of every item of every rank. An item takes the lane of the item above it if that is free. Nodes come before
/// passing lines, and earlier items before later ones. The others take the nearest free lane.
fn lanes(inputs: &[Vec<usize>], ranks: &[usize]) -> BTreeMap<(usize, Item), usize> {
    let mut lanes: BTreeMap<(usize, Item), usize> = BTreeMap::new();
    for rank in 0..ranks.iter().max().map_or(0, |last| last + 1) {
        let mut wishes: Vec<(usize, Item)> = Vec::new();
        for (to, reads) in inputs.iter().enumerate() {
            let before = |from: usize| match ranks[from] + 1 == rank {
                true => Item::Node(from),
                false => Item::Passing { from, to },
            };
            if ranks[to] == rank {
                let wish = reads.iter().map(|from| lanes[&(rank - 1, before(*from))]).min().unwrap_or(0);
                wishes.push((wish, Item::Node(to)));
            } else if ranks[to] > rank {
                let passing = reads.iter().filter(|from| ranks[**from] < rank).collect::<BTreeSet<_>>();
                wishes.extend(
                    passing.into_iter().map(|&from| (lanes[&(rank - 1, before(from))], Item::Passing { from, to })),
                );
            }
        }
        wishes.sort_by_key(|(wish, item)| (*wish, matches!(item, Item::Passing { .. }), *item));
        let mut taken = BTreeSet::new();
        let (first, others): (Vec<_>, Vec<_>) = wishes.into_iter().partition(|(wish, _)| taken.insert(*wish));
        lanes.extend(first.into_iter().map(|(lane, item)| ((rank, item), lane)));
        for (wish, item) in others {
            let near = (1..).flat_map(|by| [Some(wish + by), wish.checked_sub(by)]).flatten();
            let lane = near.into_iter().find(|lane| !taken.contains(lane)).expect("the number of lanes is unlimited");
            taken.insert(lane);
            lanes.insert((rank, item), lane);
        }
    }
    lanes
}

/// Returns the ranks at which new columns begin: close to equal parts, where all lines come from one node.
fn breaks(inputs: &[Vec<usize>], ranks: &[usize], n_ranks: usize) -> Vec<usize> {
    // Every line that crosses into `rank` comes from the same node, in the rank before.
    let can_break = |rank: usize| {
        let edges = inputs.iter().enumerate().flat_map(|(to, reads)| reads.iter().map(move |from| (*from, to)));
        let crossing: BTreeSet<usize> =
            edges.filter(|(from, to)| ranks[*from] < rank && ranks[*to] >= rank).map(|(from, _)| from).collect();
        crossing.len() == 1 && crossing.iter().all(|from| ranks[*from] + 1 == rank)
    };
    let columns = n_ranks.div_ceil(ROWS);
    let mut breaks = Vec::new();
    for column in 1..columns {
        let wish = column * n_ranks / columns;
        let near = (0..ROWS / 2).flat_map(|by| [wish.checked_sub(by), Some(wish + by)]).flatten();
        let last = breaks.last().copied().unwrap_or(0);
        breaks.extend(near.into_iter().find(|rank| *rank > last + 2 && *rank + 2 < n_ranks && can_break(*rank)));
    }
    breaks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(inputs: &[&[usize]]) -> Vec<(usize, usize)> {
        let inputs: Vec<Vec<usize>> = inputs.iter().map(|reads| reads.to_vec()).collect();
        layout(&inputs).nodes.iter().map(|place| (place.lane, place.row)).collect()
    }

    #[test]
    fn a_chain_has_one_lane() {
        assert_eq!(places(&[&[], &[0], &[1]]), [(0, 0), (0, 1), (0, 2)]);
    }

    #[test]
    fn branches_are_side_by_side_and_join_again() {
        // 0 -> 1 -> 4 and 0 -> 2 -> 3 -> 4
        assert_eq!(places(&[&[], &[0], &[0], &[2], &[1, 3]]), [(0, 0), (0, 1), (1, 1), (1, 2), (0, 3)]);
    }

    #[test]
    fn a_line_that_skips_layers_goes_around_them() {
        let layout = layout(&[vec![], vec![0], vec![1], vec![0, 2]]);
        let skip = &layout.lines[2];
        assert_eq!(
            skip.iter().map(|place| (place.lane, place.row)).collect::<Vec<_>>(),
            [(0, 0), (1, 1), (1, 2), (0, 3)]
        );
        let of_nodes: BTreeSet<_> = layout.nodes.iter().collect();
        assert!(skip[1..3].iter().all(|place| !of_nodes.contains(place)));
    }

    #[test]
    fn long_networks_are_divided_where_a_single_line_continues() {
        let mut inputs: Vec<Vec<usize>> = vec![vec![]];
        for i in 1..60 {
            // Layer 28 has a second reader, so there are two lines from there to layer 34.
            inputs.push(if i == 34 { vec![33, 28] } else { vec![i - 1] });
        }
        let layout = layout(&inputs);
        assert_eq!((layout.lanes.len(), layout.rows <= 30), (3, true));
        let broken: Vec<usize> = (1..60).filter(|i| layout.nodes[*i].row == 0).collect();
        assert!(broken.iter().all(|i| !(29..34).contains(i)), "{broken:?}");
    }
}
