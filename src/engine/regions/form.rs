//! Which axis of a tensor holds what, and the way into blocks and back.

use crate::kernels::nchwc::{Layout, Team};

/// A tensor read as channels x rows x columns. Axes that are none of these have one element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    pub shape: Vec<usize>,
    pub channels: usize,
    pub rows: Option<usize>,
    pub columns: Option<usize>,
    /// So many rows lie one after the other on the axis of the columns.
    pub merged: Option<usize>,
}

impl Form {
    /// Reads `shape` with the channels on axis `channels` and up to two further axes as rows and columns; `None` if more
    /// of them have more than one element.
    pub fn around(shape: &[usize], channels: usize) -> Option<Form> {
        let mut others: Vec<usize> = (0..shape.len()).filter(|&a| a != channels && shape[a] != 1).collect();
        // Sides of one pixel are sides too: the last axes are taken for them.
        let mut single = (0..shape.len()).rev().filter(|&a| a != channels && shape[a] == 1);
        while others.len() < 2 {
            let Some(axis) = single.next() else { break };
            others.push(axis);
        }
        others.sort_unstable();
        let (rows, columns) = match *others.as_slice() {
            [] => (None, None),
            [columns] => (None, Some(columns)),
            [rows, columns] => (Some(rows), Some(columns)),
            _ => return None,
        };
        Some(Form { shape: shape.to_vec(), channels, rows, columns, merged: None })
    }

    /// `shape` with its axes as here; where that leaves an axis without a meaning, as [`Form::around`] has it.
    pub fn with_shape(&self, shape: &[usize]) -> Option<Form> {
        let form = Form { shape: shape.to_vec(), ..self.clone() };
        if form.sides().iter().product::<usize>() == form.len() {
            Some(form)
        } else {
            Form::around(shape, self.channels)
        }
    }

    /// Whether channels, rows and columns lie on the same axes, those of one element aside.
    pub fn agrees(&self, other: &Form) -> bool {
        let real = |form: &Form, axis: Option<usize>| axis.filter(|&a| form.shape[a] != 1);
        self.channels == other.channels
            && self.merged == other.merged
            && self.sides() == other.sides()
            && real(self, self.rows) == real(other, other.rows)
            && real(self, self.columns) == real(other, other.columns)
    }

    fn side(&self, axis: Option<usize>) -> usize {
        axis.map_or(1, |a| self.shape[a])
    }

    /// Channels, rows, columns.
    pub fn sides(&self) -> [usize; 3] {
        let (channels, rows, columns) = (self.shape[self.channels], self.side(self.rows), self.side(self.columns));
        match self.merged {
            Some(merged) => [channels, merged, columns / merged.max(1)],
            None => [channels, rows, columns],
        }
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Elements from one channel, row and column to the next.
    fn strides(&self) -> [usize; 3] {
        let stride = |axis: Option<usize>| axis.map_or(0, |a| self.shape[a + 1..].iter().product());
        let [_, _, columns] = self.sides();
        let rows = if self.merged.is_some() { stride(self.columns) * columns } else { stride(self.rows) };
        [stride(Some(self.channels)), rows, stride(self.columns)]
    }

    /// Copies `tensor` into the blocks of `map`.
    pub fn import(&self, tensor: &[f32], map: &mut [f32], layout: &Layout, team: &Team) {
        let rows = layout.top + layout.height + layout.bottom;
        team.each_part(map, layout.row(), |part, line| {
            let (block, row) = (part / rows, part % rows);
            if (layout.top..layout.top + layout.height).contains(&row) {
                let pixels = &mut line[layout.left * layout.lanes..][..layout.width * layout.lanes];
                self.import_row(tensor, pixels, layout, block, row - layout.top);
            }
        });
    }

    fn import_row(&self, tensor: &[f32], line: &mut [f32], layout: &Layout, block: usize, row: usize) {
        let [channel_step, row_step, column_step] = self.strides();
        let first = block * layout.lanes;
        let channels = (layout.channels - first).min(layout.lanes);
        let from = first * channel_step + row * row_step;
        if let (3, 3, 1) = (channels, layout.lanes, column_step) {
            // A colour picture: in one go instead of three.
            let [red, green, blue] = [0, 1, 2].map(|lane| &tensor[from + lane * channel_step..][..layout.width]);
            for (pixel, ((r, g), b)) in line.chunks_exact_mut(3).zip(red.iter().zip(green).zip(blue)) {
                pixel.copy_from_slice(&[*r, *g, *b]);
            }
        } else if channel_step == 1 {
            for (column, pixel) in line.chunks_exact_mut(layout.lanes).enumerate() {
                let at = from + column * column_step;
                pixel[..channels].copy_from_slice(&tensor[at..at + channels]);
            }
        } else {
            for lane in 0..channels {
                let source = tensor[from + lane * channel_step..].iter().step_by(column_step.max(1));
                line.iter_mut().skip(lane).step_by(layout.lanes).zip(source).for_each(|(to, from)| *to = *from);
            }
        }
    }

    /// Copies the blocks of `map` into `tensor`.
    pub fn export(&self, map: &[f32], layout: &Layout, tensor: &mut [f32], team: &Team) {
        let [channel_step, row_step, column_step] = self.strides();
        let (lanes, pixels) = (layout.lanes, layout.height * layout.width);
        if channel_step == pixels {
            // Channel after channel.
            team.each_part(tensor, pixels, |channel, plane| {
                for row in 0..layout.height {
                    let line = map[layout.pixels(channel / lanes, row)].iter().skip(channel % lanes).step_by(lanes);
                    let target = plane[row * row_step..].iter_mut().step_by(column_step.max(1));
                    target.zip(line).for_each(|(to, from)| *to = *from);
                }
            });
            return;
        }
        for block in 0..layout.blocks() {
            let first = block * lanes;
            let channels = (layout.channels - first).min(lanes);
            for row in 0..layout.height {
                let line = &map[layout.pixels(block, row)];
                let to = first * channel_step + row * row_step;
                for (column, pixel) in line.chunks_exact(lanes).enumerate() {
                    let at = to + column * column_step;
                    match channel_step {
                        1 => tensor[at..at + channels].copy_from_slice(&pixel[..channels]),
                        step => {
                            let target = tensor[at..].iter_mut().step_by(step.max(1));
                            target.zip(&pixel[..channels]).for_each(|(to, from)| *to = *from);
                        }
                    }
                }
            }
        }
    }
}
