//! Groups of duplicate photographs: text, and what JSON and the contact sheet need.

use crate::tasks::dedup::hash::Hash;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A file of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its place among the files that were compared.
    pub file: usize,
    /// Its path.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its last change, nanoseconds since 1970.
    pub modified: i64,
    /// Width and height as seen; None where the file cannot be decoded.
    pub size: Option<(u32, u32)>,
    /// Its perceptual hash.
    pub hash: Option<Hash>,
    /// Has the same bytes as the kept file.
    pub exact: bool,
    /// Bits in which its hash differs from that of the kept file.
    pub distance: u32,
    /// How it and the kept one are turned to look alike: a place in [`crate::preprocess::overview::TURNS`], 0 as they are.
    pub turn: u8,
    /// Cosine of its feature vector and that of the kept file, where that was asked for.
    pub cosine: Option<f32>,
    /// Lies in a reference directory: never to be removed.
    pub reference: bool,
}

/// Duplicates of one photograph; the first is the one to keep.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// At least two.
    pub members: Vec<Member>,
}

impl Group {
    /// Whether all files have the same bytes.
    pub fn exact(&self) -> bool {
        self.members.iter().all(|m| m.exact)
    }

    /// The one to keep.
    pub fn keep(&self) -> &Member {
        &self.members[0]
    }

    /// Those that may go.
    pub fn spare(&self) -> impl Iterator<Item = &Member> {
        self.members[1..].iter().filter(|m| !m.reference)
    }
}

/// Counts of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Files that were compared.
    pub files: usize,
    /// Photographs hashed in this run.
    pub hashed: usize,
    /// Photographs whose hash was kept from an earlier run.
    pub known: usize,
    /// Blank pictures: compared by their bytes only.
    pub blank: usize,
    /// Symbolic links, not followed.
    pub links: usize,
    /// Other names of a file in the list.
    pub aliases: usize,
    /// Groups.
    pub groups: usize,
    /// Groups of equal files only.
    pub exact: usize,
    /// Files that may go.
    pub spare: usize,
    /// Their bytes.
    pub spare_bytes: u64,
}

impl Totals {
    /// Counts `groups`.
    pub fn count(&mut self, groups: &[Group]) {
        self.groups = groups.len();
        self.exact = groups.iter().filter(|g| g.exact()).count();
        self.spare = groups.iter().map(|g| g.spare().count()).sum();
        self.spare_bytes = groups.iter().flat_map(Group::spare).map(|m| m.bytes).sum();
    }
}

/// What is said of a file's likeness to the kept one.
pub fn likeness(member: &Member) -> String {
    let mut text = if member.exact { "exact".to_string() } else { format!("distance {}", member.distance) };
    if member.turn != 0 {
        text += ", turned or mirrored";
    }
    if let Some(cosine) = member.cosine {
        let _ = write!(text, ", cosine {cosine:.3}");
    }
    if member.reference {
        text += ", reference";
    }
    text
}

/// A path for one line of text: control characters are escaped.
pub fn name(path: &Path) -> String {
    let visible = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    path.to_string_lossy().chars().map(visible).collect()
}

/// A group as text, its kept file first.
pub fn group(number: usize, group: &Group) -> String {
    let kind = if group.exact() { "exact" } else { "near" };
    let mut text = format!("group {number}  {kind}  {} files", group.members.len());
    for (i, member) in group.members.iter().enumerate() {
        let what = match i {
            0 => "keep".to_string(),
            _ => likeness(member),
        };
        let _ = write!(text, "\n      {}  {}  {what}", name(&member.path), dimensions(member));
    }
    text
}

/// Width, height and bytes of a file.
pub fn dimensions(member: &Member) -> String {
    let size = member.size.map_or("unreadable".to_string(), |(w, h)| format!("{w}x{h}"));
    format!("{size} {}", bytes(member.bytes))
}

/// Bytes as people say them.
pub fn bytes(n: u64) -> String {
    match n {
        0..1000 => format!("{n} B"),
        1000..1_000_000 => format!("{:.0} kB", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", n as f64 / 1e6),
        _ => format!("{:.2} GB", n as f64 / 1e9),
    }
}

/// The last line of a run.
pub fn summary(totals: &Totals) -> String {
    let mut text = format!(
        "{} files, {} group{} ({} exact); {} files could go, {}",
        totals.files,
        totals.groups,
        if totals.groups == 1 { "" } else { "s" },
        totals.exact,
        totals.spare,
        bytes(totals.spare_bytes)
    );
    let asides = [
        (totals.blank, "blank, compared by their bytes only"),
        (totals.links, "symbolic links not followed"),
        (totals.aliases, "other names of the same files"),
    ];
    for (n, what) in asides.into_iter().filter(|(n, _)| *n > 0) {
        let _ = write!(text, "; {n} {what}");
    }
    text
}
