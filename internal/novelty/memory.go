package novelty

// maxMet bounds what becomes known of a device after it was learned; beyond it
// the earliest is forgotten.
const maxMet = 1024

// memory is a set of keys that were learned and of the latest maxMet others.
type memory[K comparable] struct {
	keys   map[K]struct{}
	met    []K // those that were not learned, a ring once it is full
	oldest int // of met
}

func newMemory[K comparable]() memory[K] { return memory[K]{keys: map[K]struct{}{}} }

func (m *memory[K]) has(k K) bool {
	_, ok := m.keys[k]
	return ok
}

// learn keeps a key for good.
func (m *memory[K]) learn(k K) { m.keys[k] = struct{}{} }

// add keeps a key until maxMet others were added.
func (m *memory[K]) add(k K) {
	if m.has(k) {
		return
	}
	if len(m.met) < maxMet {
		m.met = append(m.met, k)
	} else {
		delete(m.keys, m.met[m.oldest])
		m.met[m.oldest] = k
		m.oldest = (m.oldest + 1) % maxMet
	}
	m.keys[k] = struct{}{}
}
