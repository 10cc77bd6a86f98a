//! The allocator: the system's, with large blocks kept for the next one of about their size.
//!
//! Networks take and give back maps of many megabytes for every picture. The system's allocator returns each to the kernel at
//! once, which clears its pages anew the next time: a quarter of the time that a large picture takes. Here such blocks
//! stay, as long as all of them, used and kept, are not much more than has been in use at once.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Blocks of this many bytes or more are kept: smaller ones the system's allocator keeps too, for as long as it seems right to it.
const LARGE: usize = 1 << 24;
/// Blocks are whole multiples of this.
const GRAIN: usize = 1 << 16;
/// How many are kept at most.
const DEPTH: usize = 64;
/// What large blocks are aligned to: a line of the processor's cache, which is as much as the widest vector registers need.
const ALIGNMENT: usize = 64;
/// Before a large block lies its own size; as much as the alignment, so that what follows is aligned too.
const HEADER: usize = ALIGNMENT;
/// A kept block serves requests of at least this share of it, as a divisor: more would be wasted otherwise.
const LOOSE: usize = 2;
/// Kept and used blocks together are at most the peak of the used ones and this share of it, as a divisor.
const SPARE: usize = 4;

/// The allocator. There is one in a program.
pub struct Memory {
    shelf: Mutex<Shelf>,
}

/// A block: where it starts, its header among it, and all its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    start: *mut u8,
    size: usize,
}

/// The blocks that are kept, the one that lies there for the longest time first, and how many bytes there are of which sort.
struct Shelf {
    blocks: [Block; DEPTH],
    count: usize,
    kept: usize,
    used: usize,
    peak: usize,
}

// SAFETY: the blocks belong to the shelf alone while they lie in it, and any thread may free them.
unsafe impl Send for Shelf {}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
unsafe extern "C" {
    /// Of the GNU C library: gives free memory back to the system, but for so many bytes; 1 if there was any.
    fn malloc_trim(pad: usize) -> i32;
}

/// Gives what has been freed back to the system, for when much of it will not be needed again; the system's allocator keeps
/// most of it otherwise.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes the allocator's own locks, and touches nothing that is in use.
    unsafe {
        malloc_trim(0);
    }
}

/// Whether what is asked for is given as a [`Block`]; depends on the layout alone.
fn is_large(layout: Layout) -> bool {
    layout.size() >= LARGE && layout.align() <= ALIGNMENT && layout.size() < isize::MAX as usize - 2 * GRAIN
}

impl Block {
    /// A new one with room for `size` bytes behind its header; none if the system has no memory left.
    fn new(size: usize) -> Option<Block> {
        let size = (size + HEADER).next_multiple_of(GRAIN);
        // SAFETY: the size is not zero.
        let start = unsafe { System.alloc(Block::layout(size)) };
        (!start.is_null()).then_some(Block { start, size })
    }

    fn layout(size: usize) -> Layout {
        // SAFETY: the alignment is a power of two, and sizes are below isize::MAX by `is_large`.
        unsafe { Layout::from_size_align_unchecked(size, ALIGNMENT) }
    }

    /// Whether it is right for `size` bytes.
    fn suits(&self, size: usize) -> bool {
        let room = self.size - HEADER;
        (size..=size.saturating_mul(LOOSE)).contains(&room)
    }

    /// Hands it out: notes its size and returns what follows.
    fn given(self) -> *mut u8 {
        // SAFETY: the block is ours, larger than its header, and aligned for a number.
        unsafe {
            self.start.cast::<usize>().write(self.size);
            self.start.add(HEADER)
        }
    }

    /// The block that `pointer`, from [`Block::given`], belongs to.
    ///
    /// # Safety
    /// The pointer is one that was given and not taken back since.
    unsafe fn of(pointer: *mut u8) -> Block {
        // SAFETY: there is a header before what was given.
        unsafe {
            let start = pointer.sub(HEADER);
            Block { start, size: start.cast::<usize>().read() }
        }
    }

    /// Back to the system.
    ///
    /// # Safety
    /// Nobody uses the block any more.
    unsafe fn free(self) {
        // SAFETY: it was allocated with this layout.
        unsafe { System.dealloc(self.start, Block::layout(self.size)) };
    }
}

impl Shelf {
    const fn new() -> Self {
        let none = Block { start: std::ptr::null_mut(), size: 0 };
        Shelf { blocks: [none; DEPTH], count: 0, kept: 0, used: 0, peak: 0 }
    }

    fn remove(&mut self, at: usize) -> Block {
        let block = self.blocks[at];
        self.blocks.copy_within(at + 1..self.count, at);
        self.count -= 1;
        self.kept -= block.size;
        block
    }

    /// The smallest kept block that is right for `size` bytes, now in use.
    fn take(&mut self, size: usize) -> Option<Block> {
        let suiting = (0..self.count).filter(|at| self.blocks[*at].suits(size));
        let at = suiting.min_by_key(|at| self.blocks[*at].size)?;
        let block = self.remove(at);
        self.using(block.size);
        Some(block)
    }

    /// So many bytes more are in use.
    fn using(&mut self, size: usize) {
        self.used += size;
        self.peak = self.peak.max(self.used);
        self.trim();
    }

    /// Keeps a block that was in use.
    fn put(&mut self, block: Block) {
        if self.count == DEPTH {
            let oldest = self.remove(0);
            // SAFETY: what lay on the shelf is used by nobody.
            unsafe { oldest.free() };
        }
        self.blocks[self.count] = block;
        self.count += 1;
        self.used -= block.size;
        self.kept += block.size;
        self.trim();
    }

    /// Gives the oldest blocks back to the system until what is left is within bounds.
    fn trim(&mut self) {
        while self.count > 0 && self.used + self.kept > self.peak + self.peak / SPARE {
            let oldest = self.remove(0);
            // SAFETY: what lay on the shelf is used by nobody.
            unsafe { oldest.free() };
        }
    }
}

impl Memory {
    /// An allocator that keeps nothing yet.
    pub const fn new() -> Self {
        Memory { shelf: Mutex::new(Shelf::new()) }
    }

    /// Nothing panics under the lock, so the shelf is whole in any case.
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Memory::new()
    }
}

// SAFETY: large blocks have at least the bytes and the alignment that are asked for, and belong to whom they were given until they
// come back; all else is the system's, which gets back the layout that it was asked with.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !is_large(layout) {
            // SAFETY: the caller's layout is handed on.
            return unsafe { System.alloc(layout) };
        }
        if let Some(block) = self.shelf().take(layout.size()) {
            return block.given();
        }
        let Some(block) = Block::new(layout.size()) else { return std::ptr::null_mut() };
        self.shelf().using(block.size);
        block.given()
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller gives back what was allocated with this layout.
        unsafe {
            match is_large(layout) {
                true => self.shelf().put(Block::of(pointer)),
                false => System.dealloc(pointer, layout),
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !is_large(layout) {
            // SAFETY: the caller's layout is handed on.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: the caller's layout is handed on, and the block has as many bytes.
        unsafe {
            let pointer = self.alloc(layout);
            if !pointer.is_null() {
                pointer.write_bytes(0, layout.size());
            }
            pointer
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller vouches for pointer, layout and size; both blocks hold what is copied, and they are not the same.
        unsafe {
            let new = Layout::from_size_align_unchecked(size, layout.align());
            match (is_large(layout), is_large(new)) {
                (false, false) => return System.realloc(pointer, layout, size),
                (true, true) if Block::of(pointer).suits(size) => return pointer,
                _ => {}
            }
            let moved = self.alloc(new);
            if !moved.is_null() {
                std::ptr::copy_nonoverlapping(pointer, moved, layout.size().min(size));
                self.dealloc(pointer, layout);
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Enough to be kept.
    const MANY: usize = LARGE + 1000;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 16).unwrap()
    }

    #[test]
    fn a_block_comes_back() {
        let memory = Memory::new();
        // SAFETY: blocks are used and freed as they were allocated.
        unsafe {
            let (a, b) = (memory.alloc(layout(3 * MANY)), memory.alloc(layout(2 * MANY)));
            a.write_bytes(7, 3 * MANY);
            memory.dealloc(a, layout(3 * MANY));
            // Of about its size, and cleared where that is asked for.
            assert_eq!(memory.alloc_zeroed(layout(5 * MANY / 2)), a);
            assert!(std::slice::from_raw_parts(a, 5 * MANY / 2).iter().all(|v| *v == 0));
            memory.dealloc(a, layout(5 * MANY / 2));
            // One much smaller, or larger, is another block.
            let (c, d) = (memory.alloc(layout(MANY)), memory.alloc(layout(4 * MANY)));
            assert!(![c, d].contains(&a) && ![c, d].contains(&b));
            for (pointer, size) in [(b, 2 * MANY), (c, MANY), (d, 4 * MANY)] {
                memory.dealloc(pointer, layout(size));
            }
            assert_eq!(memory.shelf().used, 0);
        }
    }

    proptest! {
        /// Whatever is taken and given back in whatever order: no block is handed out twice, contents stay, bounds hold.
        #[test]
        fn blocks_are_their_owners_alone(
            steps in prop::collection::vec((any::<bool>(), LARGE / 2..4 * MANY, any::<u8>()), 1..60),
        ) {
            let memory = Memory::new();
            let mut held: Vec<(*mut u8, usize, u8)> = Vec::new();
            let whole = |(pointer, size, mark): (*mut u8, usize, u8)| {
                // SAFETY: the block is held, and its ends were written.
                unsafe { (pointer.read(), pointer.add(size - 1).read()) == (mark, mark) }
            };
            for (take, size, mark) in steps {
                if take || held.is_empty() {
                    // SAFETY: the size is not zero, and the ends lie in the block.
                    let pointer = unsafe { memory.alloc(layout(size)) };
                    prop_assert_eq!(pointer as usize % 16, 0);
                    unsafe {
                        pointer.write(mark);
                        pointer.add(size - 1).write(mark);
                    }
                    held.push((pointer, size, mark));
                } else if size % 2 == 0 {
                    let at = mark as usize % held.len();
                    let (pointer, old, mark) = held[at];
                    // SAFETY: the block is held; it is grown or cut, and its new end is written.
                    unsafe {
                        let moved = memory.realloc(pointer, layout(old), size);
                        prop_assert_eq!(moved.read(), mark);
                        moved.add(size - 1).write(mark);
                        held[at] = (moved, size, mark);
                    }
                } else {
                    let block = held.swap_remove(mark as usize % held.len());
                    prop_assert!(whole(block));
                    // SAFETY: it is held no more.
                    unsafe { memory.dealloc(block.0, layout(block.1)) };
                }
                prop_assert!(held.iter().all(|b| whole(*b)));
                let shelf = memory.shelf();
                prop_assert!(shelf.used + shelf.kept <= shelf.peak + shelf.peak / SPARE);
            }
            for block in held {
                // SAFETY: each is held, and freed once.
                unsafe { memory.dealloc(block.0, layout(block.1)) };
            }
            let mut shelf = memory.shelf();
            prop_assert_eq!(shelf.used, 0);
            shelf.peak = 0;
            shelf.trim();
            prop_assert_eq!((shelf.kept, shelf.count), (0, 0));
        }
    }
}
