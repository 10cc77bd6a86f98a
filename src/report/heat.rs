//! Scores as colours.

/// The colour of a value of 0 (cold) to 1 (hot) and above: transparent, then yellow to red. The last number is the
/// opacity.
pub fn colour(value: f32) -> ([u8; 3], f32) {
    let t = value.clamp(0.0, 1.0);
    // Below half of the threshold a place looks like the good ones: nothing is drawn over it.
    let heat = ((t - 0.5) * 2.0).max(0.0);
    let green = (220.0 * (1.0 - heat)) as u8;
    ([255, green, 0], 0.55 * heat)
}
