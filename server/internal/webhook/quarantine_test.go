package webhook

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/quarantine"
	"github.com/wabastream/wabastream/server/internal/translate"
)

// isolated is what a quarantine was given.
type isolated struct {
	source, reason, body string
	received             time.Time
}

type fakeQuarantine struct {
	got []isolated
	err error
}

func (q *fakeQuarantine) Put(source string, received time.Time, reason string, body []byte) error {
	q.got = append(q.got, isolated{source, reason, string(body), received})
	return q.err
}

func newQuarantined(t *testing.T, s Source) (*fixture, *fakeQuarantine) {
	t.Helper()
	f, q := newFixture(t, s), &fakeQuarantine{}
	f.quarantine = q
	return f, q
}

func TestSignedButUnreadableIsKept(t *testing.T) {
	t.Parallel()
	s := signedSource()
	s.AllowUnsigned = true
	f, q := newQuarantined(t, s)
	requireRefused(t, f.do(newSignedPost("{secret")), http.StatusBadRequest, "BODY_NOT_JSON")
	require.Len(t, q.got, 1)
	require.Contains(t, q.got[0].reason, translate.ErrNotJSON.Error())
	require.NotContains(t, q.got[0].reason, "secret")
	q.got[0].reason = ""
	require.Equal(t, isolated{source: "nxcloud", body: "{secret", received: testTime()}, q.got[0])

	for name, failing := range map[string]func(string, []byte) ([]translate.Event, error){
		"error": func(string, []byte) ([]translate.Event, error) { return nil, errors.New("no") },
		"panic": func(string, []byte) ([]translate.Event, error) { panic("secret") },
		"none":  func(string, []byte) ([]translate.Event, error) { return nil, nil },
	} {
		q.got = nil
		f.translate = failing
		requireRefused(t, f.do(newSignedPost(testBody)), http.StatusInternalServerError, "INTERNAL")
		require.Len(t, q.got, 1, name)
		require.Contains(t, q.got[0].reason, "internal error")
	}
	require.NotContains(t, f.lines.String(), "secret")
}

// What is not authentic is not kept, nor what is only not stored now.
func TestNothingElseIsKept(t *testing.T) {
	t.Parallel()
	s := signedSource()
	s.AllowUnsigned = true
	f, q := newQuarantined(t, s)
	require.Equal(t, http.StatusBadRequest, f.post("{").Code, "unsigned")
	forged := newSignedPost("{")
	forged.Header.Set("sign", "00")
	require.Equal(t, http.StatusUnauthorized, f.do(forged).Code)
	requireSuccess(t, f.do(newSignedPost(testBody)))
	f.log.before = func(context.Context) error { return eventlog.ErrTooLarge }
	require.Equal(t, http.StatusInternalServerError, f.do(newSignedPost(testBody)).Code)
	f.log.before = func(context.Context) error { return eventlog.ErrFull }
	require.Equal(t, http.StatusServiceUnavailable, f.do(newSignedPost(testBody)).Code)
	require.Empty(t, q.got)
}

func TestTheAnswerIsTheSameWhenKeepingFails(t *testing.T) {
	t.Parallel()
	f, q := newQuarantined(t, signedSource())
	q.err = errors.New("disk on fire")
	for range 3 {
		requireRefused(t, f.do(newSignedPost("{")), http.StatusBadRequest, "BODY_NOT_JSON")
	}
	require.Equal(t, 1, strings.Count(f.lines.String(), "disk on fire"))
}

func TestReinject(t *testing.T) {
	t.Parallel()
	s := signedSource()
	s.Discard = []string{"messages"}
	f := newFixture(t, s)
	got, err := f.Reinject(t.Context(), "nxcloud", []byte(testBody))
	require.NoError(t, err)
	require.Equal(t, Reinjected{IDs: []eventlog.ID{f.log.stored()[0].ID}, Stored: 1}, got)
	got, err = f.Reinject(t.Context(), "nxcloud", []byte(testBody))
	require.NoError(t, err)
	require.Equal(t, Reinjected{IDs: []eventlog.ID{f.log.stored()[0].ID}, Duplicate: 1}, got)
	requireSuccess(t, f.do(newSignedPost(testBody)))
	require.Len(t, f.log.stored(), 1, "posted or put in again, it is one event")
	got, err = f.Reinject(t.Context(), "nxcloud", []byte(`{"messages":[]}`))
	require.NoError(t, err)
	require.Equal(t, Reinjected{Discarded: 1}, got)
	require.Equal(t, 1, f.value(t, "wabastream_events_appended_total", "nxcloud"))
	require.Equal(t, 1, f.value(t, "wabastream_events_discarded_total", "nxcloud"))
}

func TestReinjectErrors(t *testing.T) {
	t.Parallel()
	f := newFixture(t, signedSource())
	_, err := f.Reinject(t.Context(), "other", []byte(testBody))
	require.ErrorIs(t, err, quarantine.ErrNoSource)
	_, err = f.Reinject(t.Context(), "nxcloud", []byte("{secret"))
	require.ErrorIs(t, err, quarantine.ErrUnreadable)
	require.NotContains(t, err.Error(), "secret")
	f.log.before = func(context.Context) error { return eventlog.ErrFull }
	_, err = f.Reinject(t.Context(), "nxcloud", []byte(testBody))
	require.ErrorIs(t, err, eventlog.ErrFull)
	f.translate = func(string, []byte) ([]translate.Event, error) { panic("secret") }
	_, err = f.Reinject(t.Context(), "nxcloud", []byte(testBody))
	require.ErrorIs(t, err, quarantine.ErrUnreadable)
	require.NotContains(t, err.Error()+f.lines.String(), "secret")
	require.Contains(t, f.lines.String(), "quarantine_test.go", "the stack tells where")
}

func TestAuthenticIsToldOfWhatVerified(t *testing.T) {
	t.Parallel()
	f := newFixture(t, signedSource())
	told := 0
	f.authentic = func(context.Context) { told++ }
	f.post(testBody)
	forged := newSignedPost(testBody)
	forged.Header.Set("sign", "00")
	f.do(forged)
	require.Zero(t, told)
	f.do(newSignedPost(testBody))
	f.do(newSignedPost("{"))
	require.Equal(t, 2, told)
}
