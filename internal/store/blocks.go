package store

import (
	"encoding/binary"
	"hash/crc32"
)

// blockBytes is how exactly damage within a segment file is located.
const blockBytes = 4096

// blockSums gives the CRC-32C of every block of b, 4 bytes each, big-endian.
// They only tell where damage is; that there is none the SHA-256 says.
func blockSums(b []byte) []byte {
	sums := make([]byte, 0, 4*(len(b)/blockBytes+1))
	table := crc32.MakeTable(crc32.Castagnoli)
	for at := 0; at < len(b); at += blockBytes {
		sums = binary.BigEndian.AppendUint32(sums, crc32.Checksum(b[at:min(at+blockBytes, len(b))], table))
	}
	return sums
}

// span is the bytes from to end-1 of a file.
type span struct{ from, end int64 }

// changedBlocks gives the spans of b that do not match the sums of size bytes.
func changedBlocks(b []byte, sums []byte, size int64) []span {
	var spans []span
	now := blockSums(b)
	for i := 0; i < len(sums); i += 4 {
		if i+4 <= len(now) && string(sums[i:i+4]) == string(now[i:i+4]) {
			continue
		}
		from := int64(i/4) * blockBytes
		end := min(from+blockBytes, max(size, int64(len(b))))
		if n := len(spans); n > 0 && spans[n-1].end == from {
			spans[n-1].end = end
		} else {
			spans = append(spans, span{from, end})
		}
	}
	if from := int64(len(sums)/4) * blockBytes; from < int64(len(b)) {
		spans = append(spans, span{from, int64(len(b))})
	}
	return spans
}
