package webhook

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// BenchmarkHandler compares the handler in front of a log that does nothing
// with an HTTP handler that only reads the body: the difference is what
// verification, translation and encoding cost.
func BenchmarkHandler(b *testing.B) {
	h, err := New(Config{
		Sources: []Source{{Name: "nxcloud", AccessKeys: []AccessKey{{Key: testKey, Secret: testSecret}}}},
		Log: appenderFunc(func(_ context.Context, records []eventlog.Record) ([]eventlog.Appended, error) {
			return make([]eventlog.Appended, len(records)), nil
		}),
	})
	if err != nil {
		b.Fatal(err)
	}
	handlers := []struct {
		name string
		http.Handler
	}{
		{"webhook", h},
		{"nothing", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				b.Error(err)
			}
			writeSuccess(w)
		})},
	}
	for _, handler := range handlers {
		b.Run("direct/"+handler.name, func(b *testing.B) { benchmarkDirect(b, handler) })
		b.Run("socket/"+handler.name, func(b *testing.B) { benchmarkSocket(b, handler) })
	}
}

func benchmarkDirect(b *testing.B, h http.Handler) {
	b.Helper()
	r := newSignedPost(testBody)
	b.ReportAllocs()
	for b.Loop() {
		r.Body = io.NopCloser(strings.NewReader(testBody))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatal(w.Body)
		}
	}
}

func benchmarkSocket(b *testing.B, h http.Handler) {
	b.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	header := newSignedPost(testBody).Header
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r, err := http.NewRequest(http.MethodPost, server.URL+"/webhooks/nxcloud", strings.NewReader(testBody))
			if err != nil {
				b.Error(err)
				return
			}
			r.Header = header
			answer, err := server.Client().Do(r)
			if err != nil {
				b.Error(err)
				return
			}
			_, err = io.Copy(io.Discard, answer.Body)
			if closed := answer.Body.Close(); err == nil {
				err = closed
			}
			if err != nil || answer.StatusCode != http.StatusOK {
				b.Errorf("status %d, %v", answer.StatusCode, err)
				return
			}
		}
	})
}
