package main

import (
	"context"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// ListQuarantined has two pages of one callback each.
func (keeper) ListQuarantined(_ context.Context, req *wabastreamv1.ListQuarantinedRequest) (*wabastreamv1.ListQuarantinedResponse, error) {
	page := &wabastreamv1.ListQuarantinedResponse{NextPageToken: "second"}
	callback := &wabastreamv1.QuarantinedCallback{
		QuarantineId: "5f70bf18a086007016e948b04aed3b82", Source: "nxcloud", SizeBytes: 1536,
		ReceiveTime: &timestamppb.Timestamp{Seconds: 1769903999}, Reason: "body is not JSON: at byte 2",
	}
	body := "{\"a\x1b[2J\xff\n"
	switch req.GetPageToken() {
	case "":
	case "second":
		page.NextPageToken = ""
		callback.QuarantineId, callback.Reason, body = "00000000000000000000000000000000", "why\x1b[2J", "[]"
	default:
		return nil, status.Error(codes.InvalidArgument, "no such page")
	}
	if req.GetIncludeBody() {
		callback.Body = []byte(body)
	}
	page.Callbacks = append(page.Callbacks, callback)
	return page, nil
}

func (keeper) ReinjectQuarantined(_ context.Context, req *wabastreamv1.ReinjectQuarantinedRequest) (*wabastreamv1.ReinjectQuarantinedResponse, error) {
	refuse := func(code codes.Code, reason string) error {
		s, err := status.New(code, "the server's words\x1b[2J").WithDetails(&errdetails.ErrorInfo{Domain: "wabastream", Reason: reason})
		if err != nil {
			return err
		}
		return s.Err()
	}
	switch req.GetQuarantineId() {
	case "gone":
		return nil, refuse(codes.NotFound, "QUARANTINED_NOT_FOUND")
	case "unreadable":
		return nil, refuse(codes.InvalidArgument, "CALLBACK_UNREADABLE")
	case "orphan":
		return nil, refuse(codes.FailedPrecondition, "SOURCE_NOT_CONFIGURED")
	}
	return &wabastreamv1.ReinjectQuarantinedResponse{EventIds: []string{"one", "two\x1b"}, StoredCount: 1, DuplicateCount: 1, DiscardedCount: 3}, nil
}
