package configdrive

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// MaxSize is how large a config drive may be.
const MaxSize = 64 << 20

// What may be wrong with a config drive. Test with [errors.Is].
var (
	// ErrMalformed is what is none of the forms that a config drive may have.
	ErrMalformed = errors.New("the config drive is malformed")

	// ErrTooLarge is one that is larger than [MaxSize].
	ErrTooLarge = errors.New("the config drive is larger than 64 MiB")

	// ErrFetch is one whose URL could not be fetched.
	ErrFetch = errors.New("the config drive cannot be fetched")
)

// From returns the file system image that value, as instance_info.configdrive
// holds it, stands for: a text is base64 of an image, gzipped or not, or the
// http or https URL of that; an object is [Data]. client fetches URLs; nil means
// [http.DefaultClient].
func From(ctx context.Context, value any, client *http.Client) ([]byte, error) {
	switch v := value.(type) {
	case string:
		if strings.HasPrefix(v, "http://") || strings.HasPrefix(v, "https://") {
			text, err := fetch(ctx, v, client)
			if err != nil {
				return nil, err
			}
			v = text
		}
		return Decode(v)
	case map[string]any:
		text, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("%w: it is no JSON", ErrMalformed)
		}
		d, err := ParseData(text)
		if err != nil {
			return nil, err
		}
		return d.ISO()
	}
	return nil, fmt.Errorf("%w: it is neither a text nor an object", ErrMalformed)
}

// Decode returns the image in base64, after unpacking it where it is gzipped.
func Decode(text string) ([]byte, error) {
	if len(text) > 2*MaxSize {
		return nil, ErrTooLarge
	}
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil || len(raw) == 0 {
		return nil, fmt.Errorf("%w: it is not base64", ErrMalformed)
	}
	if bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(bytes.NewReader(raw))
		if err == nil {
			raw, err = io.ReadAll(io.LimitReader(z, MaxSize+1))
		}
		if err != nil {
			return nil, fmt.Errorf("%w: what is gzipped is damaged", ErrMalformed)
		}
	}
	if len(raw) > MaxSize {
		return nil, ErrTooLarge
	}
	return raw, nil
}

// Encode is the inverse of [Decode]: base64 of the gzipped image.
func Encode(image []byte) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(image) // to memory
	_ = z.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

func fetch(ctx context.Context, address string, client *http.Client) (string, error) {
	if client == nil {
		client = http.DefaultClient
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", fmt.Errorf("%w: malformed URL", ErrFetch)
	}
	resp, err := client.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // without the URL
		}
		return "", fmt.Errorf("%w: %w", ErrFetch, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%w: the server answered %s", ErrFetch, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 2*MaxSize+1))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrFetch, err)
	}
	return string(body), nil
}
