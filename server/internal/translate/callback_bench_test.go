package translate_test

import (
	"strings"
	"testing"

	"github.com/wabastream/wabastream/client/callbacks"
	"github.com/wabastream/wabastream/server/internal/translate"
)

func BenchmarkCallback(b *testing.B) {
	for _, callback := range callbacks.NXCloud() {
		b.Run(callback.Name, func(b *testing.B) {
			benchmark(b, callback.Body)
		})
	}
}

// The worst that bodies of 1 MiB can do.
func BenchmarkCallbackHostile(b *testing.B) {
	for name, body := range map[string]string{
		"nodes":   "[" + strings.Repeat("1,", 1<<19) + "1]",
		"nesting": strings.Repeat("[", 1<<19) + strings.Repeat("]", 1<<19),
		"members": "{" + strings.Repeat(`"":1,`, 1<<20/5) + `"":1}`,
		"entries": preferences(strings.Repeat(`{"category":"c"},`, 4095) + "{}"),
	} {
		b.Run(name, func(b *testing.B) {
			benchmark(b, []byte(body))
		})
	}
}

func benchmark(b *testing.B, body []byte) {
	b.Helper()
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := translate.Callback(source, body); err != nil {
			b.Fatal(err)
		}
	}
}
