package simulate

import "encoding/binary"

// changeCipherSpec is the record that TLS 1.3 sends for the sake of middleboxes
// (RFC 8446, appendix D.4).
func changeCipherSpec() []byte { return []byte{20, 3, 3, 0, 1, 1} }

// clientHello is a TLS 1.3 client's first record (RFC 8446, section 4.1.2) for
// a server name, padded to 517 bytes as common clients do (RFC 7685).
func clientHello(r random, name string) []byte {
	b := make([]byte, 0, 517)
	b = append(b, 22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3)
	b = appendRandom(b, r, 32)
	b = append(b, 32)
	b = appendRandom(b, r, 32)
	b = append(b, 0, 6, 0x13, 0x01, 0x13, 0x02, 0x13, 0x03, 1, 0)
	extensions := len(b)
	b = append(b, 0, 0)
	b = appendExtension(b, 0, len(name)+5) // server_name
	b = binary.BigEndian.AppendUint16(b, uint16(len(name)+3))
	b = append(b, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(name)))
	b = append(b, name...)
	b = append(appendExtension(b, 10, 4), 0, 2, 0, 29)      // supported_groups: x25519
	b = append(appendExtension(b, 13, 4), 0, 2, 0x04, 0x03) // ecdsa_secp256r1_sha256
	b = append(appendExtension(b, 43, 3), 2, 3, 4)          // supported_versions: TLS 1.3
	b = append(appendExtension(b, 51, 38), 0, 36, 0, 29, 0, 32)
	b = appendRandom(b, r, 32)
	padding := 517 - len(b) - 4
	b = append(appendExtension(b, 21, padding), make([]byte, padding)...)
	binary.BigEndian.PutUint16(b[extensions:], uint16(len(b)-extensions-2))
	return b
}

// serverHello is the server's answer (RFC 8446, section 4.1.3) and its change
// of cipher; what follows them is encrypted.
func serverHello(r random) []byte {
	b := make([]byte, 0, 133)
	b = append(b, 22, 3, 3, 0, 122, 2, 0, 0, 118, 3, 3)
	b = appendRandom(b, r, 32)
	b = append(b, 32)
	b = appendRandom(b, r, 32)
	b = append(b, 0x13, 0x01, 0, 0, 46)
	b = append(appendExtension(b, 43, 2), 3, 4)
	b = append(appendExtension(b, 51, 36), 0, 29, 0, 32)
	b = appendRandom(b, r, 32)
	return append(b, changeCipherSpec()...)
}

func appendExtension(b []byte, kind uint16, length int) []byte {
	b = binary.BigEndian.AppendUint16(b, kind)
	return binary.BigEndian.AppendUint16(b, uint16(length))
}

func appendRandom(b []byte, r random, n int) []byte {
	for range n / 8 {
		b = binary.BigEndian.AppendUint64(b, r.uint64())
	}
	return b
}
