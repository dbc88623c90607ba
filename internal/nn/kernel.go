package nn

// mulAddT computes C += A·Bᵀ for row-major matrices: C is m × n, A is m × k,
// B is n × k; the slices hold at least that many elements and do not overlap.
//
// Every multiplication of this package goes through here, so a faster kernel
// has one place to go. Its contract is exact: each element of C is a running
// float32 sum that starts from the element's old value and takes the products
// A[i,p]·B[j,p], each rounded to float32, in ascending order of p. How rows and
// columns are grouped is free, since it changes no bit.
func mulAddT(c, a, b []float32, m, n, k int) {
	i := 0
	for ; i+3 <= m; i += 3 {
		threeRows(c[i*n:(i+3)*n], a[i*k:(i+3)*k], b, n, k)
	}
	for ; i < m; i++ {
		oneRow(c[i*n:(i+1)*n], a[i*k:(i+1)*k], b, n, k)
	}
}

// threeRows is mulAddT for m = 3, in blocks of 3 × 2: six running sums and
// their operands fit into the registers of amd64.
func threeRows(c, a, b []float32, n, k int) {
	a0, a1, a2 := a[:k], a[k:2*k], a[2*k:3*k]
	a1, a2 = a1[:len(a0)], a2[:len(a0)]
	c0, c1, c2 := c[:n], c[n:2*n], c[2*n:3*n]
	j := 0
	for ; j+2 <= n; j += 2 {
		b0, b1 := b[j*k:][:len(a0)], b[(j+1)*k:][:len(a0)]
		s00, s01 := c0[j], c0[j+1]
		s10, s11 := c1[j], c1[j+1]
		s20, s21 := c2[j], c2[j+1]
		for p, x := range a0 {
			v, w := b0[p], b1[p]
			s00 += float32(x * v)
			s01 += float32(x * w)
			x = a1[p]
			s10 += float32(x * v)
			s11 += float32(x * w)
			x = a2[p]
			s20 += float32(x * v)
			s21 += float32(x * w)
		}
		c0[j], c0[j+1] = s00, s01
		c1[j], c1[j+1] = s10, s11
		c2[j], c2[j+1] = s20, s21
	}
	if j < n {
		b0 := b[j*k:][:k]
		c0[j] = addDot(c0[j], a0, b0)
		c1[j] = addDot(c1[j], a1, b0)
		c2[j] = addDot(c2[j], a2, b0)
	}
}

// oneRow is mulAddT for m = 1, in blocks of six columns: six sums in flight
// hide the latency of an addition.
func oneRow(c, a, b []float32, n, k int) {
	j := 0
	for ; j+6 <= n; j += 6 {
		b0, b1, b2 := b[j*k:][:len(a)], b[(j+1)*k:][:len(a)], b[(j+2)*k:][:len(a)]
		b3, b4, b5 := b[(j+3)*k:][:len(a)], b[(j+4)*k:][:len(a)], b[(j+5)*k:][:len(a)]
		d := c[j:][:6]
		s0, s1, s2, s3, s4, s5 := d[0], d[1], d[2], d[3], d[4], d[5]
		for p, x := range a {
			s0 += float32(x * b0[p])
			s1 += float32(x * b1[p])
			s2 += float32(x * b2[p])
			s3 += float32(x * b3[p])
			s4 += float32(x * b4[p])
			s5 += float32(x * b5[p])
		}
		d[0], d[1], d[2], d[3], d[4], d[5] = s0, s1, s2, s3, s4, s5
	}
	for ; j < n; j++ {
		c[j] = addDot(c[j], a, b[j*k:][:k])
	}
}

// addDot gives s plus the dot product of a and b, which are of one length.
func addDot(s float32, a, b []float32) float32 {
	b = b[:len(a)]
	for p, x := range a {
		s += float32(x * b[p])
	}
	return s
}

// transpose writes the rows × cols matrix src into dst as cols × rows.
func transpose(dst, src []float32, rows, cols int) {
	for i := range rows {
		for j, v := range src[i*cols : (i+1)*cols] {
			dst[j*rows+i] = v
		}
	}
}
