package baseline

import (
	"context"

	"bellwether/internal/zone"
)

// components are the principal components of the training rows. The score is
// the mean squared error of the row rebuilt from them, or the row's squared
// Mahalanobis distance.
type components struct {
	mean [zone.Features]float64
	axes [][zone.Features]float64 // of length 1, by descending variance
	// along[k]·y² + beyond·(what the axes leave of the squared distance) is the
	// score of a row with the coordinates y.
	along  []float64
	beyond float64
}

func trainPCA(ctx context.Context, rows []row, o PCAOptions) (*components, error) {
	c := &components{}
	for i := range rows {
		for j, v := range rows[i] {
			c.mean[j] += float64(v)
		}
	}
	for j := range c.mean {
		c.mean[j] /= float64(len(rows))
	}
	cov, err := c.covariance(ctx, rows)
	if err != nil {
		return nil, err
	}
	variances, axes, err := eigen(ctx, cov)
	if err != nil {
		return nil, err
	}
	kept, rest := keep(variances, o.Variance)
	c.axes = append(c.axes, axes[:kept]...)
	c.weigh(variances[:kept], rest, o.Mahalanobis)
	return c, nil
}

// covariance gives the rows' covariance, divided by their number.
func (c *components) covariance(ctx context.Context, rows []row) (*matrix, error) {
	cov := &matrix{}
	var d [zone.Features]float64
	for i := range rows {
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		c.centre(&rows[i], &d)
		for j, x := range d {
			line := cov[j][:j+1]
			for k := range line {
				line[k] += float64(x * d[k])
			}
		}
	}
	for j := range cov {
		for k := range j + 1 {
			cov[j][k] /= float64(len(rows))
			cov[k][j] = cov[j][k]
		}
	}
	return cov, nil
}

func (c *components) centre(r *row, d *[zone.Features]float64) {
	for j, v := range r {
		d[j] = float64(v) - c.mean[j]
	}
}

// keep gives the number of components whose variances make up a share of all,
// and the mean variance of the others.
func keep(variances []float64, share float64) (kept int, rest float64) {
	total := 0.0
	for _, v := range variances {
		total += max(v, 0)
	}
	sum := 0.0
	for kept == 0 || kept < len(variances) && sum < share*total {
		sum += max(variances[kept], 0)
		kept++
	}
	if kept < len(variances) {
		rest = max(total-sum, 0) / float64(len(variances)-kept)
	}
	return kept, rest
}

// varianceFloor keeps directions in which the rows did not vary at all from
// weighing without bound, in the square of the rows' unit.
const varianceFloor = 1e-6

func (c *components) weigh(variances []float64, rest float64, mahalanobis bool) {
	c.along = make([]float64, len(variances))
	c.beyond = 1.0 / zone.Features
	if !mahalanobis {
		return
	}
	for k, v := range variances {
		c.along[k] = 1 / max(v, varianceFloor)
	}
	c.beyond = 1 / max(rest, varianceFloor)
}

// Score gives the error or the distance.
func (c *components) Score(rows []row, scores []float64) {
	var d [zone.Features]float64
	scoreEach(rows, scores, func(r *row) float64 {
		c.centre(r, &d)
		return c.score(&d)
	})
}

// score takes the row apart: what each axis explains is taken out of d.
func (c *components) score(d *[zone.Features]float64) float64 {
	score := 0.0
	for k := range c.axes {
		axis := &c.axes[k]
		y := dot(axis, d)
		for j, a := range axis {
			d[j] -= float64(y * a)
		}
		score += float64(float64(c.along[k]*y) * y)
	}
	return score + float64(c.beyond*dot(d, d))
}

// dot gives the scalar product, in four sums that are added at the end.
func dot(a, b *[zone.Features]float64) float64 {
	var s0, s1, s2, s3 float64
	j := 0
	for ; j+4 <= len(a); j += 4 {
		s0 += float64(a[j] * b[j])
		s1 += float64(a[j+1] * b[j+1])
		s2 += float64(a[j+2] * b[j+2])
		s3 += float64(a[j+3] * b[j+3])
	}
	for ; j < len(a); j++ {
		s0 += float64(a[j] * b[j])
	}
	return (s0 + s1) + (s2 + s3)
}
