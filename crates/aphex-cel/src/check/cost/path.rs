//! Where in the declared type of `self` a part of an expression lies.
//!
//! The paths of cel-go are Go slices, and steps are appended to them without care for who shares the memory: two
//! paths that go on from one of an odd length may end in the same cell, and the later step then stands in both.
//! Estimates show it (`self.list.all(x, x.a.all(y, x.b == y))` walks over the size of `b`), so paths here share
//! their cells in the same way.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// The way to a part, the variable first.
#[derive(Clone, Debug, Default)]
pub(super) struct Path {
    cells: Rc<RefCell<Vec<Arc<str>>>>,
    length: usize,
    capacity: usize,
}

impl Path {
    /// The path of a variable.
    pub(super) fn of(variable: &Arc<str>) -> Self {
        Self { cells: Rc::new(RefCell::new(vec![Arc::clone(variable)])), length: 1, capacity: 1 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The path one step on.
    pub(super) fn then(&self, step: &str) -> Self {
        let length = self.length + 1;
        if self.length < self.capacity {
            let mut cells = self.cells.borrow_mut();
            if self.length < cells.len() {
                cells[self.length] = step.into();
            } else {
                cells.push(step.into());
            }
            drop(cells);
            return Self { cells: Rc::clone(&self.cells), length, capacity: self.capacity };
        }
        let mut cells: Vec<Arc<str>> = self.steps();
        cells.push(step.into());
        Self { cells: Rc::new(RefCell::new(cells)), length, capacity: (self.capacity * 2).max(1) }
    }

    /// The same path in memory of its own.
    pub(super) fn copied(&self) -> Self {
        Self { cells: Rc::new(RefCell::new(self.steps())), length: self.length, capacity: self.length }
    }

    /// The steps as they read now.
    pub(super) fn steps(&self) -> Vec<Arc<str>> {
        self.cells.borrow().iter().take(self.length).cloned().collect()
    }
}
