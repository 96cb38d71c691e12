//! Tables over files in memory.

use super::*;
