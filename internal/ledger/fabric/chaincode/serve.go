package chaincode

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// maxMessage bounds what a peer and a chaincode say to each other, in bytes: a
// peer's own limit.
const maxMessage = 100 << 20

// Server says how the peers reach the chaincode.
type Server struct {
	// ID is the package's ID on the peer, as [Package.ID] gives it.
	ID string
	// Certificate is shown to the peers; nil means no TLS, which is for a peer on
	// the same machine and nobody else on it.
	Certificate *tls.Certificate
}

// Serve answers peers on the listener until the context ends. It closes the
// listener.
func (s Server) Serve(ctx context.Context, l net.Listener) error {
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Minute, PermitWithoutStream: true}),
	}
	if s.Certificate != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(&tls.Config{
			Certificates: []tls.Certificate{*s.Certificate}, MinVersion: tls.VersionTLS12})))
	}
	server := grpc.NewServer(options...)
	peer.RegisterChaincodeServer(server, &shim.ChaincodeServer{CCID: s.ID, CC: Contract{}})
	stop := context.AfterFunc(ctx, server.Stop)
	defer stop()
	if err := server.Serve(l); err != nil && ctx.Err() == nil {
		return fmt.Errorf("chaincode on %s: %w", l.Addr(), err)
	}
	return nil
}
