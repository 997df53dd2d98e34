package settings

// Number is a number with its text in the file, for kinds that take a number for a word: as a word 3.10 is not 3.1, and
// 0o711 is not 457.
type Number struct {
	Value any // int64 or float64
	Text  string
}

// written puts a Number in the place of each number in a value. texts holds what finder found, key is the value's.
func written(texts map[string]string, key string, v any) any {
	switch v := v.(type) {
	case int64, float64:
		return Number{v, texts[key]}
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = written(texts, index(key, i), v[i])
		}
		return list
	case map[string]any:
		table := make(map[string]any, len(v))
		for name := range v {
			table[name] = written(texts, join(key, QuoteKey(name)), v[name])
		}
		return table
	}
	return v
}
