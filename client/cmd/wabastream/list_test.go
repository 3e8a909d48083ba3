package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// ListEvents answers with the next line of the file "stream".
func (s *streamer) ListEvents(_ context.Context, request *wabastreamv1.ListEventsRequest) (*wabastreamv1.ListEventsResponse, error) {
	page := &wabastreamv1.ListEventsResponse{}
	return page, s.answer(request, page)
}

// GetEvent answers with the next line of the file "stream".
func (s *streamer) GetEvent(_ context.Context, request *wabastreamv1.GetEventRequest) (*wabastreamv1.GetEventResponse, error) {
	found := &wabastreamv1.GetEventResponse{}
	return found, s.answer(request, found)
}

// GetLogInfo answers with the next line of the file "stream".
func (s *streamer) GetLogInfo(_ context.Context, request *wabastreamv1.GetLogInfoRequest) (*wabastreamv1.GetLogInfoResponse, error) {
	info := &wabastreamv1.GetLogInfoResponse{}
	return info, s.answer(request, info)
}

func (s *streamer) answer(request, into proto.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := appendLine(filepath.Join(s.dir, "requests"), protojson.MarshalOptions{}.Format(request)); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(s.dir, "stream"))
	if err != nil {
		return status.Error(codes.FailedPrecondition, err.Error())
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if s.line == len(lines) {
		return status.Error(codes.FailedPrecondition, "the script has no more lines")
	}
	line := lines[s.line]
	s.line++
	if end, ending := strings.CutPrefix(line, "end "); ending {
		return endOf(end)
	}
	return protojson.Unmarshal([]byte(line), into)
}
