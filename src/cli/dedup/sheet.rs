//! Writes the contact sheet, a thumbnail at a time.

use super::Found;
use crate::cli::{batch, output};
use crate::error::Result;
use crate::input::Source;
use crate::report::duplicates::Member;
use crate::report::sheet;
use std::path::Path;

/// Writes the contact sheet of all groups to `file`.
pub fn write(found: &Found, file: &Path, options: batch::Options) -> Result<()> {
    let mut page = output::Pending::new(file)?;
    page.write(sheet::head(&found.totals).as_bytes())?;
    // Each file with its group and its place in it.
    let members: Vec<(usize, usize, &Member)> = found
        .groups
        .iter()
        .enumerate()
        .flat_map(|(g, group)| group.members.iter().enumerate().map(move |(i, m)| (g, i, m)))
        .collect();
    let sources: Vec<Source> = members.iter().map(|(_, _, m)| Source::File(m.path.clone())).collect();
    batch::run(
        &sources,
        options,
        |_, photo| sheet::thumbnail(&photo),
        |at, thumbnail| {
            let (g, i, member) = members[at];
            let group = &found.groups[g];
            if i == 0 {
                page.write(sheet::open_group(g + 1, group).as_bytes())?;
            }
            let reason = thumbnail.as_ref().err().map(|e| e.one_line());
            let thumbnail = thumbnail.as_deref().map_err(|_| reason.as_deref().unwrap_or_default());
            page.write(sheet::figure(i == 0, member, thumbnail).as_bytes())?;
            if i + 1 == group.members.len() {
                page.write(sheet::CLOSE_GROUP.as_bytes())?;
            }
            Ok(())
        },
    )?;
    page.write(sheet::FOOT.as_bytes())?;
    page.finish()
}
