package baseline

// kernel gives columns of the matrix exp(−γ·d²) and keeps those used last.
type kernel struct {
	rows   []row
	panels []panel
	gamma  float64

	slots [][]float32 // columns kept, each as long as panels hold rows
	owner []int       // of each slot: its column
	used  []int64     // of each slot: when it was used last
	slot  []int32     // of each column: its slot, or -1
	clock int64
}

func newKernel(rows []row, gamma float64, cacheMB int) *kernel {
	k := &kernel{rows: rows, panels: panels(rows), gamma: gamma, slot: make([]int32, len(rows))}
	for i := range k.slot {
		k.slot[i] = -1
	}
	length := len(k.panels) * lanes
	room := max(2, int(int64(cacheMB)<<20/int64(4*length)))
	k.slots = make([][]float32, min(room, max(2, len(rows))))
	k.owner = make([]int, len(k.slots))
	k.used = make([]int64, len(k.slots))
	return k
}

// column gives column i. It is valid until two other columns were asked for.
func (k *kernel) column(i int) []float32 {
	k.clock++
	at := k.slot[i]
	if at < 0 {
		at = k.oldest()
		if k.used[at] > 0 {
			k.slot[k.owner[at]] = -1
		}
		k.slot[i], k.owner[at] = at, i
		k.fill(i, at)
	}
	k.used[at] = k.clock
	return k.slots[at][:len(k.rows)]
}

// pair gives two columns at once.
func (k *kernel) pair(i, j int) (ki, kj []float32) { return k.column(i), k.column(j) }

// oldest gives the slot that was not used for the longest time.
func (k *kernel) oldest() int32 {
	best := 0
	for at, used := range k.used {
		if used == 0 {
			return int32(at)
		}
		if used < k.used[best] {
			best = at
		}
	}
	return int32(best)
}

func (k *kernel) fill(i int, at int32) {
	if k.slots[at] == nil {
		k.slots[at] = make([]float32, len(k.panels)*lanes)
	}
	column := k.slots[at]
	var d [lanes]float32
	for p := range k.panels {
		k.panels[p].distances(&k.rows[i], &d)
		for l, v := range d {
			column[p*lanes+l] = float32(expNeg(float64(k.gamma * float64(v))))
		}
	}
}
