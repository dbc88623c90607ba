package baseline

// addSquares is addSquaresGo, bit for bit. It never reads beyond the shorter of
// columns and values.
//
//go:noescape
func addSquares(d *[lanes]float32, columns [][lanes]float32, values []float32)
