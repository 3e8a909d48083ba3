package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/guarantees"
)

// recorder records every stream of one reader, whoever opens it. It belongs to the
// reader's goroutine.
type recorder struct {
	reader  string
	records []*guarantees.Stream
}

// begin makes the record of a stream, or of what stands for one.
func (r *recorder) begin(what string) *guarantees.Stream {
	s := &guarantees.Stream{Name: fmt.Sprintf("%s/%d%s", r.reader, len(r.records), what)}
	r.records = append(r.records, s)
	return s
}

// intercept is a grpc.StreamClientInterceptor.
func (r *recorder) intercept(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := streamer(ctx, desc, cc, method, opts...)
	if err != nil {
		return nil, err
	}
	return recordedStream{s, r.begin("")}, nil
}

type recordedStream struct {
	grpc.ClientStream
	record *guarantees.Stream
}

func (s recordedStream) SendMsg(m any) error {
	if req, ok := m.(*wabastreamv1.SubscribeRequest); ok {
		s.record.Request = proto.CloneOf(req)
	}
	return s.ClientStream.SendMsg(m)
}

func (s recordedStream) RecvMsg(m any) error {
	asked := time.Now()
	err := s.ClientStream.RecvMsg(m)
	if err != nil {
		s.record.End = endOf(asked, err)
		return err
	}
	if response, ok := m.(*wabastreamv1.SubscribeResponse); ok {
		s.record.Frames = append(s.record.Frames, guarantees.FrameOf(asked, time.Now(), response))
	}
	return nil
}

func endOf(asked time.Time, err error) guarantees.End {
	reason, _ := reasonOf(err)
	return guarantees.End{Asked: asked, At: time.Now(), OK: errors.Is(err, io.EOF), Reason: reason}
}

// reasonOf returns what the server gave with an error; empty when it is not the
// server's.
func reasonOf(err error) (reason string, metadata map[string]string) {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == "wabastream" {
			return info.GetReason(), info.GetMetadata()
		}
	}
	return "", nil
}
