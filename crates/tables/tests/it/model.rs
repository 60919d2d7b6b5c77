//! Random histories beside a plain model of the reference's rules, with restarts in between.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const MAX_VERSIONS: usize = 2;

/// A change of a cell: column, what, number, version.
#[derive(Debug, Clone)]
struct Change(u8, Kind, i64, Option<i64>);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Put,
    DeleteAll,
    DeleteOne,
    Increment,
}

#[derive(Debug, Clone)]
enum Step {
    Put((u8, u8), Existence, Vec<(u8, i64, Option<i64>)>),
    Update((u8, u8), Existence, Vec<Change>),
    Delete((u8, u8), Existence),
    Restart,
    Tick,
    /// A range in pages of so many rows.
    Read(i32, bool),
}

type Versions = BTreeMap<i64, i64>;

/// The reference's rules as plainly as they can be written: rows of columns of versions.
#[derive(Debug, Default)]
struct Model {
    now_ms: i64,
    rows: BTreeMap<(u8, u8), BTreeMap<String, Versions>>,
}

impl Model {
    fn holds(&self, row: (u8, u8), existence: Existence) -> bool {
        match existence {
            Existence::Ignore => true,
            Existence::Exists => self.rows.contains_key(&row),
            Existence::Missing => !self.rows.contains_key(&row),
        }
    }

    fn put(&mut self, row: (u8, u8), cells: &[(u8, i64, Option<i64>)]) {
        let mut columns: BTreeMap<String, Versions> = BTreeMap::new();
        for (column, value, version) in cells {
            columns.entry(name(*column)).or_default().insert(version.unwrap_or(self.now_ms), *value);
        }
        self.rows.insert(row, columns);
        self.forget_old(row);
    }

    fn update(&mut self, row: (u8, u8), changes: &[Change]) {
        let creates = changes.iter().any(|change| matches!(change.1, Kind::Put | Kind::Increment));
        if !creates && !self.rows.contains_key(&row) {
            return;
        }
        let now_ms = self.now_ms;
        let columns = self.rows.entry(row).or_default();
        for Change(column, kind, value, version) in changes {
            let versions = columns.entry(name(*column)).or_default();
            match kind {
                Kind::Put => {
                    versions.insert(version.unwrap_or(now_ms), *value);
                }
                Kind::DeleteAll => versions.clear(),
                Kind::DeleteOne => {
                    versions.remove(&version.unwrap_or(now_ms));
                }
                Kind::Increment => {
                    let (at, before) = versions.last_key_value().map_or((now_ms, 0), |(at, value)| (*at, *value));
                    versions.insert(at.max(now_ms), before + value);
                }
            }
        }
        self.forget_old(row);
    }

    fn forget_old(&mut self, row: (u8, u8)) {
        let columns = self.rows.get_mut(&row).expect("the row was written just now");
        for versions in columns.values_mut() {
            while versions.len() > MAX_VERSIONS {
                versions.pop_first();
            }
        }
        columns.retain(|_, versions| !versions.is_empty());
    }

    fn cells(&self, row: (u8, u8)) -> Option<Vec<(String, i64, i64)>> {
        let flat = |(name, versions): (&String, &Versions)| {
            versions.iter().rev().map(|(at, value)| (name.clone(), *at, *value)).collect::<Vec<_>>()
        };
        Some(self.rows.get(&row)?.iter().flat_map(flat).collect())
    }
}

/// Columns from here on have the longest names: a row that has all of them is too large for one value of the engine.
const WIDE: std::ops::Range<u8> = 3..20;

fn name(column: u8) -> String {
    if WIDE.contains(&column) { format!("{:x<255}", format!("w{column}")) } else { format!("c{column}") }
}

fn row_key((a, b): (u8, u8)) -> Vec<KeyColumn> {
    key(i64::from(a) - 1, ["", "x", "x\0", "xy"][usize::from(b)])
}

fn step() -> impl Strategy<Value = Step> {
    let row = || (0..3u8, 0..4u8);
    let existence =
        || prop_oneof![3 => Just(Existence::Ignore), 1 => Just(Existence::Exists), 1 => Just(Existence::Missing)];
    let version = || proptest::option::of((0..6i64).prop_map(|by| START_MS + by - 3));
    let wide = || proptest::bool::weighted(0.2);
    let cells =
        (proptest::collection::vec((0..3u8, 0..100i64, version()), 0..4), wide()).prop_map(|(mut cells, wide)| {
            cells.extend(WIDE.filter(|_| wide).map(|column| (column, 7, None)));
            cells
        });
    let kind = prop_oneof![3 => Just(Kind::Put), 1 => Just(Kind::DeleteAll), 1 => Just(Kind::DeleteOne), 1 => Just(Kind::Increment)];
    let change = (0..3u8, kind, 0..100i64, version()).prop_map(|(column, kind, value, version)| {
        let version = match kind {
            Kind::Put => version,
            Kind::DeleteOne => Some(version.unwrap_or(START_MS)),
            Kind::DeleteAll | Kind::Increment => None,
        };
        Change(column, kind, value, version)
    });
    // One change for each column: an increment is not combined with another one.
    let changes =
        (proptest::collection::vec(change, 1..4), wide(), any::<bool>()).prop_map(|(mut changes, wide, puts)| {
            changes.sort_by_key(|change: &Change| change.0);
            changes.dedup_by_key(|change| change.0);
            let kind = if puts { Kind::Put } else { Kind::DeleteAll };
            changes.extend(WIDE.filter(|_| wide).map(|column| Change(column, kind, 8, None)));
            changes
        });
    prop_oneof![
        4 => (row(), existence(), cells).prop_map(|(row, existence, cells)| Step::Put(row, existence, cells)),
        6 => (row(), existence(), changes).prop_map(|(row, existence, changes)| Step::Update(row, existence, changes)),
        2 => (row(), existence()).prop_map(|(row, existence)| Step::Delete(row, existence)),
        1 => Just(Step::Restart),
        1 => Just(Step::Tick),
        2 => (1..6i32, any::<bool>()).prop_map(|(limit, backward)| Step::Read(limit, backward)),
    ]
}

/// The write of a step, and whether the model carries it out.
fn write_of_step(model: &mut Model, step: &Step) -> Option<((u8, u8), RowWrite, bool)> {
    let (row, existence, write) = match step {
        Step::Put(row, existence, cells) => {
            let cells = cells.iter().map(|(column, value, version)| set_at(&name(*column), *value, *version));
            (*row, *existence, put(row_key(*row), cells.collect()))
        }
        Step::Update(row, existence, changes) => {
            let cell = |Change(column, kind, value, version): &Change| match kind {
                Kind::Put => set_at(&name(*column), *value, *version),
                Kind::DeleteAll => op(&name(*column), CellOp::DeleteAll, None, None),
                Kind::DeleteOne => op(&name(*column), CellOp::DeleteOne, None, *version),
                Kind::Increment => op(&name(*column), CellOp::Increment, Some(*value), None),
            };
            (*row, *existence, update(row_key(*row), changes.iter().map(cell).collect()))
        }
        Step::Delete(row, existence) => (*row, *existence, delete(row_key(*row))),
        Step::Restart | Step::Tick | Step::Read(..) => return None,
    };
    let holds = model.holds(row, existence);
    if holds {
        match step {
            Step::Put(_, _, cells) => model.put(row, cells),
            Step::Update(_, _, changes) => model.update(row, changes),
            _ => {
                model.rows.remove(&row);
            }
        }
    }
    Some((row, expecting(existence, write), holds))
}

async fn run(steps: Vec<Step>) {
    let mut store = Store::new().await;
    let mut model = Model { now_ms: START_MS, ..Model::default() };
    let mut new = new_table("t");
    new.options = Some(OptionsChange { time_to_live_s: Some(-1), max_versions: Some(2), ..OptionsChange::default() });
    store.tables.create_table("i", new).await.unwrap();
    for step in steps {
        match &step {
            Step::Restart => store.reopen().await,
            Step::Tick => {
                store.clock.advance_ms(1);
                model.now_ms += 1;
            }
            Step::Read(limit, backward) => {
                let direction = if *backward { Direction::Backward } else { Direction::Forward };
                let asked = GetRange { limit: Some(*limit), ..whole("t", ["a", "b"], direction) };
                let got: Vec<_> = pages(&store.tables, asked).await;
                let got: Vec<_> = got.into_iter().map(|row| (row.key.clone(), numbers(row))).collect();
                let mut want: Vec<_> = model
                    .rows
                    .keys()
                    .map(|row| (row_key(*row), model.cells(*row).expect("a key of the model")))
                    .collect();
                if *backward {
                    want.reverse();
                }
                assert_eq!(got, want);
            }
            _ => {
                let (row, write, holds) = write_of_step(&mut model, &step).expect("a write");
                let outcome = store.tables.write_row("i", in_table("t", write)).await;
                assert_eq!(outcome.is_ok(), holds, "{step:?}: {outcome:?}");
                assert_eq!(cells(&store.tables, "t", row_key(row)).await, model.cells(row), "{step:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn histories_are_those_of_the_model(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps));
    }
}
