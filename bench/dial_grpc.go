package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that walker extends
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/types/known/durationpb"
)

// grpcConnection carries subscriptions to the product or to the naive server.
type grpcConnection struct {
	conn *grpc.ClientConn
	// open begins a subscription, and read receives one message of it.
	open func(ctx context.Context, conn *grpc.ClientConn, r *receiver) (grpc.ClientStream, error)
	read func(stream grpc.ClientStream, r *receiver) error

	readers sync.WaitGroup
}

// The windows that the SDK asks for.
const (
	sdkStreamWindow = 256 << 10
	sdkConnWindow   = 4 * sdkStreamWindow
)

func dialOurs(_ context.Context, addr string) (connection, error) {
	return dialGRPC(addr, openOurs, readOurs, grpc.WithInitialWindowSize(sdkStreamWindow), grpc.WithInitialConnWindowSize(sdkConnWindow))
}

func dialNaive(_ context.Context, addr string) (connection, error) {
	return dialGRPC(addr, openNaive, readNaive)
}

func dialGRPC(addr string,
	open func(context.Context, *grpc.ClientConn, *receiver) (grpc.ClientStream, error),
	read func(grpc.ClientStream, *receiver) error, options ...grpc.DialOption,
) (connection, error) {
	conn, err := grpc.NewClient(addr, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		return nil, err
	}
	return &grpcConnection{conn: conn, open: open, read: read}, nil
}

// subscribe implements connection. Both servers send headers once they know of the
// subscription.
func (c *grpcConnection) subscribe(ctx context.Context, r *receiver) error {
	stream, err := c.open(ctx, c.conn, r)
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	if headers, err := stream.Header(); err != nil || headers == nil {
		return fmt.Errorf("subscribe: %w", errors.Join(err, stream.RecvMsg(nil)))
	}
	c.readers.Go(func() {
		for {
			r.waitAtGate()
			if err := c.read(stream, r); err != nil {
				r.failUnless(ctx, err)
				return
			}
		}
	})
	return nil
}

func (c *grpcConnection) close() error {
	err := c.conn.Close()
	c.readers.Wait()
	return err
}

func openOurs(ctx context.Context, conn *grpc.ClientConn, r *receiver) (grpc.ClientStream, error) {
	request := &wabastreamv1.SubscribeRequest{HeartbeatInterval: durationpb.New(r.heartbeat)}
	if r.account != everyone {
		request.Filters = []*wabastreamv1.EventFilter{{WabaIds: []string{r.account}}}
	}
	return wabastreamv1.NewEventServiceClient(conn).Subscribe(ctx, request, walkUnless(r.decode)...)
}

func openNaive(ctx context.Context, conn *grpc.ClientConn, r *receiver) (grpc.ClientStream, error) {
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/"+naiveService+"/"+naiveMethod, walkUnless(r.decode)...)
	if err != nil {
		return nil, err
	}
	filter := &wabastreamv1.EventFilter{}
	if r.account != everyone {
		filter.WabaIds = []string{r.account}
	}
	return stream, errors.Join(stream.SendMsg(filter), stream.CloseSend())
}

// readOurs receives a frame.
func readOurs(stream grpc.ClientStream, r *receiver) error {
	if !r.decode {
		return stream.RecvMsg(walk(func(frame []byte) error { return eachEvent(frame, r.takeWire) }))
	}
	frame := new(wabastreamv1.SubscribeResponse)
	if err := stream.RecvMsg(frame); err != nil {
		return err
	}
	for _, e := range frame.GetBatch().GetEvents() {
		if err := r.takeEvent(e); err != nil {
			return err
		}
	}
	return nil
}

// readNaive receives an event.
func readNaive(stream grpc.ClientStream, r *receiver) error {
	if !r.decode {
		return stream.RecvMsg(walk(r.takeWire))
	}
	e := new(wabastreamv1.Event)
	if err := stream.RecvMsg(e); err != nil {
		return err
	}
	return r.takeEvent(e)
}

// walk is given to RecvMsg in place of a message: it is called with the bytes.
type walk func(message []byte) error

// walker is gRPC's own protobuf codec, which also calls a walk.
type walker struct {
	encoding.CodecV2
}

func walkUnless(decode bool) []grpc.CallOption {
	if decode {
		return nil
	}
	return []grpc.CallOption{grpc.ForceCodecV2(walker{encoding.GetCodecV2("proto")})}
}

// Unmarshal makes the message one piece, as the codec that it extends does.
func (w walker) Unmarshal(data mem.BufferSlice, v any) error {
	visit, ok := v.(walk)
	if !ok {
		return w.CodecV2.Unmarshal(data, v)
	}
	message := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer message.Free()
	return visit(message.ReadOnlyData())
}
