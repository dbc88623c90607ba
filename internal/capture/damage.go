package capture

import "fmt"

// DamageError says that a capture is cut off or broken. Every frame before it
// was delivered.
type DamageError struct {
	Path string
	// Offset is where the first record that cannot be used starts, in bytes of
	// the capture, counted after decompression: what lies before it is whole.
	Offset     int64
	Compressed bool   // Offset counts uncompressed bytes
	Reason     string // what is wrong with the record
	Err        error  // the decompressor's error, if that is the cause
}

// Error gives path, offset and reason.
func (e *DamageError) Error() string {
	unit := "byte"
	if e.Compressed {
		unit = "uncompressed byte"
	}
	return fmt.Sprintf("%s is damaged at %s %d: %s; what lies before is whole and was read", e.Path, unit, e.Offset, e.Reason)
}

// Unwrap gives the decompressor's error, or nil.
func (e *DamageError) Unwrap() error { return e.Err }
