//! The one integration binary. Each module is a subject; components come from
//! the test bed, and one that is missing fails its tests by name.

#[cfg(test)]
mod grid;
