package store

import (
	"context"
	"crypto/rand"
)

// keySize suits AES-256 and HMAC-SHA256.
const keySize = 32

// SecretKey returns the 32 random bytes saved under name and makes them at the first
// call. Every process that has the file open gets the same.
func (s *Store) SecretKey(ctx context.Context, name string) ([]byte, error) {
	fresh := make([]byte, keySize)
	_, _ = rand.Read(fresh) // never fails (crypto/rand)
	var key []byte
	err := s.queryRow(ctx, "get the key", []any{&key}, `
		INSERT INTO secret_keys (name, key) VALUES (?, ?)
		ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING key`, name, fresh)
	return key, err
}
