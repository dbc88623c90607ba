package capture

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"bellwether/internal/zone"
)

// geometry is the layout of a ring.
type geometry struct {
	snapLen    int
	blockBytes int
	blocks     int
}

// Bounds of a ring. A block is handed over when it is full, or blockMillis
// after its first frame: that is the delay of a frame on a quiet network.
const (
	defaultSnapLen = 65535
	defaultRing    = 8 << 20
	maxRing        = 1 << 30
	minBlock       = 256 << 10
	blockMillis    = 40
	frameHint      = 2048 // TPACKET_V3 packs frames; this only has to divide a block
)

func (o LiveOptions) geometry() (geometry, error) {
	g := geometry{snapLen: o.SnapLen}
	total := o.RingBytes
	if g.snapLen == 0 {
		g.snapLen = defaultSnapLen
	}
	if total == 0 {
		total = defaultRing
	}
	if g.snapLen < 0 || g.snapLen > MaxFrame {
		return g, fmt.Errorf("capture: snap length %d: want 1 to %d, or 0 for %d", o.SnapLen, MaxFrame, defaultSnapLen)
	}
	if total < 0 || total > maxRing {
		return g, fmt.Errorf("capture: ring of %d bytes: want up to %d, or 0 for %d", o.RingBytes, maxRing, defaultRing)
	}
	// A power of two is a multiple of every page size up to its own, and leaves
	// a frame room beside the headers.
	g.blockBytes = max(minBlock, 1<<bits.Len(uint(g.snapLen+frameHint)))
	g.blocks = max(2, (total+g.blockBytes-1)/g.blockBytes)
	return g, nil
}

// ring is a receive ring of TPACKET_V3, read block by block. The kernel fills a
// block and hands it over by its status word; we hand it back the same way.
type ring struct {
	geometry
	mem   []byte
	block int // the one that is read, or waited for

	held bool // the block is ours
	left int  // frames of it that are not read
	at   int  // offset in mem of the next frame
}

func newRing(fd int, g geometry) (r ring, err error) {
	if err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return r, fmt.Errorf("packet ring version 3: %w", err)
	}
	req := &unix.TpacketReq3{
		Block_size:     uint32(g.blockBytes),
		Block_nr:       uint32(g.blocks),
		Frame_size:     frameHint,
		Frame_nr:       uint32(g.blockBytes / frameHint * g.blocks),
		Retire_blk_tov: blockMillis,
	}
	if err = unix.SetsockoptTpacketReq3(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, req); err != nil {
		return r, fmt.Errorf("packet ring of %d blocks of %d bytes (try a smaller ring): %w", g.blocks, g.blockBytes, err)
	}
	// The value that a socket filter returns is the snap length.
	keep := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: uint32(g.snapLen)}
	if err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &keep}); err != nil {
		return r, fmt.Errorf("snap length filter: %w", err)
	}
	mem, err := unix.Mmap(fd, 0, g.blockBytes*g.blocks, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return r, fmt.Errorf("map packet ring of %d bytes (try a smaller ring): %w", g.blockBytes*g.blocks, err)
	}
	return ring{geometry: g, mem: mem}, nil
}

// Offsets in a block's header.
const (
	blockHeader = int(unsafe.Offsetof(unix.TpacketBlockDesc{}.Hdr))
	blockFrames = blockHeader + int(unsafe.Offsetof(unix.TpacketHdrV1{}.Num_pkts))
	blockFirst  = blockHeader + int(unsafe.Offsetof(unix.TpacketHdrV1{}.Offset_to_first_pkt))
)

// status is the word by which the block changes hands.
func (r *ring) status() *uint32 {
	return (*uint32)(unsafe.Pointer(&r.mem[r.block*r.blockBytes+blockHeader]))
}

// next gives the next frame, valid until the following call, or false when the
// kernel has no block for us.
func (r *ring) next() (ringFrame, bool) {
	for {
		if !r.held && !r.acquire() {
			return nil, false
		}
		if r.left > 0 {
			break
		}
		r.release()
	}
	end := (r.block + 1) * r.blockBytes
	h := ringFrame(r.mem[r.at:end])
	r.left--
	r.at += int(h.uint32(unsafe.Offsetof(unix.Tpacket3Hdr{}.Next_offset)))
	return h, true
}

func (r *ring) acquire() bool {
	if atomic.LoadUint32(r.status())&unix.TP_STATUS_USER == 0 {
		return false
	}
	start := r.block * r.blockBytes
	r.held = true
	r.left = int(binary.NativeEndian.Uint32(r.mem[start+blockFrames:]))
	r.at = start + int(binary.NativeEndian.Uint32(r.mem[start+blockFirst:]))
	return true
}

func (r *ring) release() {
	atomic.StoreUint32(r.status(), unix.TP_STATUS_KERNEL)
	r.held = false
	r.block = (r.block + 1) % r.blocks
}

// ringFrame is a frame in the ring, from its header to the end of its block.
type ringFrame []byte

func (h ringFrame) uint32(at uintptr) uint32 { return binary.NativeEndian.Uint32(h[at:]) }
func (h ringFrame) uint16(at uintptr) uint16 { return binary.NativeEndian.Uint16(h[at:]) }

func (h ringFrame) time() zone.Time {
	sec := h.uint32(unsafe.Offsetof(unix.Tpacket3Hdr{}.Sec))
	return zone.Time(sec)*1e9 + zone.Time(h.uint32(unsafe.Offsetof(unix.Tpacket3Hdr{}.Nsec)))
}

// length is the number of bytes on the wire, without a VLAN tag taken out.
func (h ringFrame) length() int {
	return int(h.uint32(unsafe.Offsetof(unix.Tpacket3Hdr{}.Len)))
}

func (h ringFrame) data() []byte {
	n := int(h.uint32(unsafe.Offsetof(unix.Tpacket3Hdr{}.Snaplen)))
	return h[h.uint16(unsafe.Offsetof(unix.Tpacket3Hdr{}.Mac)):][:n]
}

// vlan gives the tag that the kernel took out of the frame.
func (h ringFrame) vlan() (tpid, tci uint16, ok bool) {
	status := h.uint32(unsafe.Offsetof(unix.Tpacket3Hdr{}.Status))
	if status&unix.TP_STATUS_VLAN_VALID == 0 {
		return 0, 0, false
	}
	variant := unsafe.Offsetof(unix.Tpacket3Hdr{}.Hv1)
	tci = uint16(h.uint32(variant + unsafe.Offsetof(unix.TpacketHdrVariant1{}.Vlan_tci)))
	tpid = unix.ETH_P_8021Q
	if status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
		tpid = h.uint16(variant + unsafe.Offsetof(unix.TpacketHdrVariant1{}.Vlan_tpid))
	}
	return tpid, tci, true
}

// outgoing reports a frame that this machine sends, by the link-layer address
// that follows the header.
func (h ringFrame) outgoing() bool {
	const align = unix.TPACKET_ALIGNMENT
	address := (unsafe.Sizeof(unix.Tpacket3Hdr{}) + align - 1) &^ (align - 1)
	return h[address+unsafe.Offsetof(unix.RawSockaddrLinklayer{}.Pkttype)] == unix.PACKET_OUTGOING
}
