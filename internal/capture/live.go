package capture

import (
	"errors"
	"time"
)

// ErrTimeout is what [Live.Next] returns after [LiveTimeout] without a frame,
// so that its caller can do what is due by the clock. Call Next again.
var ErrTimeout = errors.New("no frame within the timeout")

// ErrLiveUnsupported is what [OpenLive] returns on systems other than Linux.
var ErrLiveUnsupported = errors.New("live capture is supported on Linux only: capture with tcpdump and read the file")

// LiveTimeout is the silence after which [Live.Next] returns [ErrTimeout].
const LiveTimeout = 200 * time.Millisecond

// LiveOptions say how to capture. The zero value is ready to use.
type LiveOptions struct {
	// Promiscuous takes in frames for other stations too.
	Promiscuous bool
	// SnapLen is the largest number of bytes kept of a frame. 0 means 65535;
	// the most is MaxFrame.
	SnapLen int
	// RingBytes is the memory shared with the kernel, rounded up to whole
	// blocks, at least two. 0 means 8 MiB; the most is 1 GiB.
	RingBytes int
}

// LiveStats are counts since the capture was opened.
type LiveStats struct {
	Received    uint64 // frames that the kernel had for us, dropped ones included
	Delivered   uint64 // frames that Next has returned
	KernelDrops uint64 // frames that found the ring full
	RingFreezes uint64 // times that the ring was full
}
