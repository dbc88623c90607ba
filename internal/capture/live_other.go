//go:build !linux

package capture

// Live is a capture from a network interface. It exists on Linux only.
type Live struct{}

// OpenLive returns [ErrLiveUnsupported].
func OpenLive(iface string, opts LiveOptions) (*Live, error) { return nil, ErrLiveUnsupported }

// Next returns [ErrLiveUnsupported].
func (l *Live) Next(fr *Frame) error { return ErrLiveUnsupported }

// Stats returns [ErrLiveUnsupported].
func (l *Live) Stats() (LiveStats, error) { return LiveStats{}, ErrLiveUnsupported }

// Close does nothing.
func (l *Live) Close() error { return nil }
