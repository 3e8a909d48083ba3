package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// accountant answers with the next line of the file "stream", and watches with all the
// lines of the file "watch".
type accountant struct {
	wabastreamv1.UnimplementedAccountServiceServer
	*streamer
}

func (a accountant) GetAccount(_ context.Context, req *wabastreamv1.GetAccountRequest) (*wabastreamv1.GetAccountResponse, error) {
	got := &wabastreamv1.GetAccountResponse{}
	return got, a.answer(req, got)
}

func (a accountant) ListAccounts(_ context.Context, req *wabastreamv1.ListAccountsRequest) (*wabastreamv1.ListAccountsResponse, error) {
	page := &wabastreamv1.ListAccountsResponse{}
	return page, a.answer(req, page)
}

func (a accountant) GetMarketingPreference(_ context.Context, req *wabastreamv1.GetMarketingPreferenceRequest) (*wabastreamv1.GetMarketingPreferenceResponse, error) {
	got := &wabastreamv1.GetMarketingPreferenceResponse{}
	return got, a.answer(req, got)
}

func (a accountant) ListMarketingOptOuts(_ context.Context, req *wabastreamv1.ListMarketingOptOutsRequest) (*wabastreamv1.ListMarketingOptOutsResponse, error) {
	page := &wabastreamv1.ListMarketingOptOutsResponse{}
	return page, a.answer(req, page)
}

func (a accountant) WatchAccounts(req *wabastreamv1.WatchAccountsRequest, stream grpc.ServerStreamingServer[wabastreamv1.WatchAccountsResponse]) error {
	if err := appendLine(filepath.Join(a.dir, "requests"), protojson.MarshalOptions{}.Format(req)); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(a.dir, "watch"))
	if err != nil {
		return status.Error(codes.FailedPrecondition, err.Error())
	}
	for line := range strings.Lines(strings.TrimSpace(string(text))) {
		frame := &wabastreamv1.WatchAccountsResponse{}
		if err := protojson.Unmarshal([]byte(line), frame); err != nil {
			return status.Error(codes.FailedPrecondition, err.Error())
		}
		if err := stream.Send(frame); err != nil {
			return err
		}
	}
	<-stream.Context().Done()
	return stream.Context().Err()
}

// Every kind of value has its words.
func TestChangeText(t *testing.T) {
	t.Parallel()
	for want, text := range map[string]string{
		"seen: seen": `{"direction":"CHANGE_DIRECTION_SEEN","current":{"existence":{"state":"ACCOUNT_STATE_SEEN"}}}`,
		"banned: banned on October 22, 2025, before: reinstated":        `{"direction":"CHANGE_DIRECTION_BANNED","current":{"ban":{"info":{"state":"BAN_STATE_DISABLE","dateText":"October 22, 2025"}}},"previous":{"ban":{"info":{"state":"BAN_STATE_REINSTATE"}}}}`,
		"violated: violation SPAM":                                      `{"direction":"CHANGE_DIRECTION_VIOLATED","current":{"violation":{"info":{"violationTypeText":"SPAM"}}}}`,
		"changed: review PENDING":                                       `{"current":{"review":{"decisionText":"PENDING"}}}`,
		"partner removed: partner removed":                              `{"direction":"CHANGE_DIRECTION_PARTNER_REMOVED","current":{"partner":{"state":"PARTNER_STATE_REMOVED"}}}`,
		"signed: terms of Marketing Messages Lite signed":               `{"direction":"CHANGE_DIRECTION_SIGNED","current":{"mmLiteTerms":{"signed":true}}}`,
		"moved: number moved":                                           `{"direction":"CHANGE_DIRECTION_MOVED","current":{"presence":{"state":"PHONE_NUMBER_STATE_MOVED"}}}`,
		"approved: name Shop":                                           `{"direction":"CHANGE_DIRECTION_APPROVED","current":{"verifiedName":{"name":"Shop"}}}`,
		"rejected: name Shop REJECTED TOO_LONG":                         `{"direction":"CHANGE_DIRECTION_REJECTED","current":{"nameReview":{"requestedVerifiedName":"Shop","decisionText":"REJECTED","rejectionReasonText":"TOO_LONG"}}}`,
		"flagged: quality FLAGGED":                                      `{"direction":"CHANGE_DIRECTION_FLAGGED","current":{"quality":{"eventText":"FLAGGED"}}}`,
		"downgraded: limit TIER_1K (came too late: it stays as before)": `{"direction":"CHANGE_DIRECTION_DOWNGRADED","stale":true,"current":{"limit":{"limitText":"TIER_1K"}}}`,
	} {
		change := &wabastreamv1.AccountChange{}
		require.NoError(t, protojson.Unmarshal([]byte(text), change))
		require.Equal(t, want, changeText(change))
	}
}
