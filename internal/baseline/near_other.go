//go:build !amd64

package baseline

func addSquares(d *[lanes]float32, columns [][lanes]float32, values []float32) {
	addSquaresGo(d, columns, values)
}
