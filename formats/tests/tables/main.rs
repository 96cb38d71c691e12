//! Tables over real files, against what other libraries see in them.

#[cfg(test)]
mod files;
