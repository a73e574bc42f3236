// Words for the states of a model, by those of the API.

export const STATES = {
  UNLOADED: "not in memory",
  DOWNLOADING: "downloading",
  CONVERTING: "converting",
  QUANTIZING: "quantizing",
  LOADING: "loading",
  ACTIVE: "ready",
  UNLOADING: "unloading",
  FAILED: "failed",
};
