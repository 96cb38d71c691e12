//! The engine from outside: sessions over a catalog, files in place, and the demo's questions.

#[cfg(test)]
mod aggregates;
#[cfg(test)]
mod answers;
#[cfg(test)]
mod chunk_index;
#[cfg(test)]
mod delta;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod disclosure;
#[cfg(test)]
mod leaks;
#[cfg(test)]
#[path = "../../../formats/tests/common/left_out.rs"]
mod left_out;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod privacy;
#[cfg(test)]
#[path = "../../../formats/tests/common/program.rs"]
mod program;
#[cfg(test)]
mod pruning;
#[cfg(test)]
mod pushdown;
#[cfg(test)]
mod remote;
#[cfg(test)]
mod rewrites;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod support;
#[cfg(test)]
mod times;
#[cfg(test)]
#[path = "../../../connectors/tests/common/weed.rs"]
mod weed;
