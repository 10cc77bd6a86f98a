//! Pure functions from tensors and maps to values.

pub mod auroc;
pub mod average_precision;
pub mod blobs;
pub mod check_digit;
pub mod ctc;
pub mod detection;
pub mod masks;
pub mod min_area_rect;
pub mod nanodet;
pub mod near_codes;
pub mod nms;
pub mod pattern;
pub mod text_boxes;
pub mod yolic;
pub mod yolo;
