//! The NumPy file format, version 1.0 (numpy.lib.format): a matrix of f32.

/// `rows`, all of one length, as the bytes of a `.npy` file of shape rows x length, little-endian.
pub fn encode(rows: &[Vec<f32>]) -> Vec<u8> {
    let columns = rows.first().map_or(0, Vec::len);
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {columns}), }}", rows.len());
    // Magic, version, length and header together fill a multiple of 64 bytes, the last of them a line feed.
    let prefix = 10;
    let padding = 63 - (prefix + header.len()) % 64;
    header.push_str(&" ".repeat(padding));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(rows.iter().flatten().flat_map(|v| v.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_padded() {
        let bytes = encode(&[vec![1.0, 2.0], vec![3.0, 4.0]]);
        let header = u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
        assert_eq!((10 + header) % 64, 0);
        assert_eq!(bytes[10 + header - 1], b'\n');
        assert_eq!(bytes.len(), 10 + header + 16);
        assert_eq!(encode(&[]).len() % 64, 0);
    }
}
