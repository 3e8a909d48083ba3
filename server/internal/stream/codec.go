package stream

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that Codec extends
	"google.golang.org/grpc/mem"
)

// rawFrame is a SubscribeResponse already in wire form, to be sent once. The
// transport reads its buffers after SendMsg returned, and frees them: nobody else
// touches them again, unless to read.
type rawFrame struct{ data mem.BufferSlice }

// codec is gRPC's own protobuf codec, which also takes frames that are already
// encoded. Clients notice nothing: its name on the wire is "proto".
type codec struct {
	encoding.CodecV2
}

// ServerOption makes a gRPC server able to send what the service encodes
// itself. A server that the service is registered on must be made with it.
func ServerOption() grpc.ServerOption {
	return grpc.ForceServerCodecV2(codec{encoding.GetCodecV2("proto")})
}

// Marshal passes ready frames through and hands everything else to protobuf.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(*rawFrame); ok {
		return f.data, nil
	}
	return c.CodecV2.Marshal(v)
}
