//! Which order of joins makes the fewest rows.

/// Most tables whose orders are all tried; three to their power are weighed.
pub(super) const MOST_TABLES: usize = 10;
/// What a row of a hash table costs, where one that is made costs 1.
const OF_BUILDING: f64 = 2.0;

/// Tables by number, and what their rows have in common.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// Rows of each table.
    pub(super) rows: Vec<f64>,
    /// Pairs of tables that are joined, with the share of all pairs of rows that meet.
    pub(super) edges: Vec<(Set, f64)>,
    /// Conditions over several tables, with the share of rows that they let through.
    pub(super) filters: Vec<(Set, f64)>,
}

/// Tables by number: the bit of each is set.
pub(super) type Set = u32;

/// An order of joins. The left side is to be held in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    /// A table.
    Table(usize),
    /// Two sides joined.
    Join(Box<Order>, Box<Order>),
}

impl Order {
    /// The tables in it.
    pub(super) fn set(&self) -> Set {
        match self {
            Self::Table(number) => bit(*number),
            Self::Join(left, right) => left.set() | right.set(),
        }
    }
}

/// The set of one table.
pub(super) fn bit(table: usize) -> Set {
    u32::try_from(table).ok().and_then(|table| 1_u32.checked_shl(table)).unwrap_or(0)
}

/// The best order of the tables in a set, and what it costs.
#[derive(Debug, Clone)]
struct Best {
    cost: f64,
    rows: f64,
    /// The left side of the last join; none for one table.
    left: Set,
}

impl Graph {
    /// Rows of the tables in a set, joined: the same for every order.
    fn rows(&self, set: Set) -> f64 {
        let tables = self.rows.iter().enumerate().filter(|(number, _)| bit(*number) & set != 0);
        let all: f64 = tables.map(|(_, rows)| rows).product();
        let conditions = self.edges.iter().chain(&self.filters);
        let shares = conditions.filter(|(tables, _)| tables & set == *tables);
        (all * shares.map(|(_, share)| share).product::<f64>()).max(1.0)
    }

    fn joined(&self, left: Set, right: Set) -> bool {
        self.edges.iter().any(|(tables, _)| tables & left != 0 && tables & right != 0)
    }

    /// What an order costs.
    pub(super) fn cost(&self, order: &Order) -> f64 {
        match order {
            Order::Table(_) => 0.0,
            Order::Join(left, right) => {
                let (one, other) = (left.set(), right.set());
                let of_join = cost(self.rows(one), self.rows(other), self.rows(one | other));
                self.cost(left) + self.cost(right) + of_join
            }
        }
    }

    /// The cheapest order in which every join has a key; none where there is no such order.
    pub(super) fn best(&self) -> Option<Order> {
        let tables = self.rows.len();
        if tables > MOST_TABLES {
            return None;
        }
        let all = bit(tables).checked_sub(1)?;
        let mut best: Vec<Option<Best>> = vec![None];
        // A set is greater than those within it, so these are known.
        for set in 1..=all {
            let rows = self.rows(set);
            if set.is_power_of_two() {
                best.push(Some(Best { cost: 0.0, rows, left: 0 }));
                continue;
            }
            let mut cheapest: Option<Best> = None;
            let mut left = (set - 1) & set;
            while left > 0 {
                let right = set & !left;
                if let (Some(one), Some(other)) = (of(&best, left), of(&best, right))
                    && one.rows <= other.rows
                    && self.joined(left, right)
                {
                    let cost = one.cost + other.cost + cost(one.rows, other.rows, rows);
                    if cheapest.as_ref().is_none_or(|known| cost < known.cost) {
                        cheapest = Some(Best { cost, rows, left });
                    }
                }
                left = (left - 1) & set;
            }
            best.push(cheapest);
        }
        order(&best, all)
    }
}

/// What a join costs: the rows that it makes, and the smaller side in memory.
fn cost(one: f64, other: f64, made: f64) -> f64 {
    one.min(other).mul_add(OF_BUILDING, made)
}

fn of(best: &[Option<Best>], set: Set) -> Option<&Best> {
    best.get(usize::try_from(set).ok()?)?.as_ref()
}

fn order(best: &[Option<Best>], set: Set) -> Option<Order> {
    let left = of(best, set)?.left;
    if left == 0 {
        return Some(Order::Table(usize::try_from(set.trailing_zeros()).ok()?));
    }
    let (one, other) = (order(best, left)?, order(best, set & !left)?);
    Some(Order::Join(Box::new(one), Box::new(other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(one: Order, other: Order) -> Order {
        Order::Join(Box::new(one), Box::new(other))
    }

    #[test]
    fn what_leaves_few_rows_is_joined_first() {
        // A small table that a medium one refers to, and a large one that refers to that.
        let graph = Graph {
            rows: vec![1e6, 1e4, 10.0],
            edges: vec![(0b011, 1e-4), (0b110, 1e-3)],
            filters: vec![],
        };
        let best = graph.best().unwrap();
        let [large, medium, small] = [0, 1, 2].map(Order::Table);
        let written = join(join(Order::Table(0), Order::Table(1)), Order::Table(2));
        assert_eq!(best, join(join(small, medium), large));
        assert!(graph.cost(&best) < graph.cost(&written));
    }

    #[test]
    fn no_order_is_found_where_two_tables_have_no_key() {
        let graph =
            Graph { rows: vec![10.0, 10.0, 10.0], edges: vec![(0b011, 0.1)], filters: vec![] };
        assert_eq!(graph.best(), None);
        let many = Graph {
            rows: vec![1.0; MOST_TABLES + 1],
            edges: (1..=MOST_TABLES).map(|other| (1 | bit(other), 1.0)).collect(),
            filters: vec![],
        };
        assert_eq!(many.best(), None);
    }

    #[test]
    fn the_best_order_is_the_cheapest_of_all() {
        // A star of three and a chain from it, tried by hand against every order of the kind.
        let graph = Graph {
            rows: vec![5e5, 2e3, 300.0, 40.0, 9.0],
            edges: vec![(0b00011, 1e-3), (0b00101, 5e-3), (0b01100, 0.02), (0b11000, 0.2)],
            filters: vec![(0b10010, 0.3)],
        };
        let mut orders: Vec<Order> = (0..5).map(Order::Table).collect();
        let mut cheapest = f64::INFINITY;
        // Every tree over the five, grown from its parts.
        let mut trees: Vec<Order> = orders.clone();
        for _ in 0..4 {
            let mut more = Vec::new();
            for one in &trees {
                for other in &trees {
                    let (left, right) = (one.set(), other.set());
                    if left & right == 0 && graph.joined(left, right) {
                        more.push(Order::Join(Box::new(one.clone()), Box::new(other.clone())));
                    }
                }
            }
            // Of each set, the cheapest is enough for what is built from it.
            more.append(&mut orders);
            more.sort_by(|a, b| {
                (a.set(), graph.cost(a)).partial_cmp(&(b.set(), graph.cost(b))).unwrap()
            });
            more.dedup_by_key(|order| order.set());
            trees.clone_from(&more);
            orders = more;
        }
        for order in &orders {
            if order.set() == 0b11111 {
                cheapest = cheapest.min(graph.cost(order));
            }
        }
        let best = graph.best().unwrap();
        assert!((graph.cost(&best) - cheapest).abs() < 1e-6 * cheapest, "{best:?} {cheapest}");
    }
}
