package client_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// quarantined is a server with three callbacks on two pages, of which one can be
// read by now.
type quarantined struct {
	wabastreamv1.UnimplementedEventServiceServer
	wabastreamv1.UnimplementedAdminServiceServer
	pages int
}

func (q *quarantined) ListQuarantined(_ context.Context, req *wabastreamv1.ListQuarantinedRequest) (*wabastreamv1.ListQuarantinedResponse, error) {
	q.pages++
	callback := func(id string) *wabastreamv1.QuarantinedCallback {
		c := &wabastreamv1.QuarantinedCallback{QuarantineId: id}
		if req.GetIncludeBody() {
			c.Body = []byte("body of " + id)
		}
		return c
	}
	switch req.GetPageToken() {
	case "":
		return &wabastreamv1.ListQuarantinedResponse{Callbacks: []*wabastreamv1.QuarantinedCallback{callback("c"), callback("b")}, NextPageToken: "2"}, nil
	case "2":
		return &wabastreamv1.ListQuarantinedResponse{NextPageToken: "3"}, nil // all of this page have gone meanwhile
	case "3":
		return &wabastreamv1.ListQuarantinedResponse{Callbacks: []*wabastreamv1.QuarantinedCallback{callback("a")}}, nil
	}
	return nil, refusal(codes.InvalidArgument, "REQUEST_INVALID")
}

func (*quarantined) ReinjectQuarantined(_ context.Context, req *wabastreamv1.ReinjectQuarantinedRequest) (*wabastreamv1.ReinjectQuarantinedResponse, error) {
	if req.GetQuarantineId() != "a" {
		return nil, refusal(codes.InvalidArgument, client.ReasonCallbackUnreadable)
	}
	return &wabastreamv1.ReinjectQuarantinedResponse{EventIds: []string{"id"}, StoredCount: 1}, nil
}

func TestQuarantined(t *testing.T) {
	t.Parallel()
	q := &quarantined{}
	c := connect(t, q)
	var found []string
	for callback, err := range c.Quarantined(t.Context(), true) {
		require.NoError(t, err)
		found = append(found, callback.GetQuarantineId()+": "+string(callback.GetBody()))
	}
	require.Equal(t, []string{"c: body of c", "b: body of b", "a: body of a"}, found)
	q.pages = 0
	for callback, err := range c.Quarantined(t.Context(), false) {
		require.NoError(t, err)
		require.Empty(t, callback.GetBody())
		break
	}
	require.Equal(t, 1, q.pages, "whoever has enough asks for no more")

	_, other := serve(t)
	for _, err := range other.Quarantined(t.Context(), false) {
		require.ErrorIs(t, err, &client.Error{Code: codes.Unimplemented})
		found = nil
	}
	require.Nil(t, found)
}

func TestReinjectQuarantined(t *testing.T) {
	t.Parallel()
	c := connect(t, &quarantined{})
	answer, err := c.ReinjectQuarantined(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, []string{"id"}, answer.GetEventIds())
	_, err = c.ReinjectQuarantined(t.Context(), "b")
	require.ErrorIs(t, err, &client.Error{Code: codes.InvalidArgument, Reason: client.ReasonCallbackUnreadable})
}
