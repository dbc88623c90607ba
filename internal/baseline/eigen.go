package baseline

import (
	"context"
	"math"
	"slices"

	"bellwether/internal/zone"
)

// matrix is a square matrix over the features.
type matrix [zone.Features][zone.Features]float64

// maxSweeps bounds Jacobi's method, which settles quadratically: 6 to 10 sweeps
// are usual.
const maxSweeps = 60

// eigen gives the eigenvalues of a symmetric matrix, largest first, and the
// eigenvectors of length 1 in the rows of vectors, by Jacobi's method with
// cyclic sweeps (Golub and Van Loan, section 8.5). It overwrites a.
func eigen(ctx context.Context, a *matrix) (values []float64, vectors *matrix, err error) {
	v := &matrix{}
	for i := range v {
		v[i][i] = 1
	}
	for sweep := 0; sweep < maxSweeps && !diagonal(a); sweep++ {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		for p := range a {
			for q := p + 1; q < len(a); q++ {
				rotate(a, v, p, q)
			}
		}
	}
	order := make([]int, len(a))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		switch {
		case a[i][i] > a[j][j]:
			return -1
		case a[i][i] < a[j][j]:
			return 1
		}
		return 0
	})
	vectors = &matrix{}
	for i, from := range order {
		values = append(values, a[from][from])
		vectors[i] = v[from]
	}
	return values, vectors, nil
}

// diagonal reports whether what is off the diagonal is lost in rounding.
func diagonal(a *matrix) bool {
	off, on := 0.0, 0.0
	for i := range a {
		on += float64(a[i][i] * a[i][i])
		for j := range i {
			off += float64(a[i][j] * a[i][j])
		}
	}
	return off <= 1e-28*on
}

// rotate makes a[p][q] zero by a rotation of the plane (p, q), which it also
// applies to rows p and q of v.
func rotate(a, v *matrix, p, q int) {
	if a[p][q] == 0 {
		return
	}
	theta := (a[q][q] - a[p][p]) / (2 * a[p][q])
	t := math.Copysign(1/(math.Abs(theta)+math.Sqrt(float64(theta*theta)+1)), theta)
	c := 1 / math.Sqrt(float64(t*t)+1)
	s := t * c
	turn(&a[p], &a[q], c, s)
	for i := range a {
		x, y := a[i][p], a[i][q]
		a[i][p], a[i][q] = float64(c*x)-float64(s*y), float64(s*x)+float64(c*y)
	}
	a[p][q], a[q][p] = 0, 0
	turn(&v[p], &v[q], c, s)
}

// turn sets (x, y) to (c·x − s·y, s·x + c·y).
func turn(x, y *[zone.Features]float64, c, s float64) {
	for i := range x {
		u, w := x[i], y[i]
		x[i], y[i] = float64(c*u)-float64(s*w), float64(s*u)+float64(c*w)
	}
}
