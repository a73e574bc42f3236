// What is kept on this machine, in the browser's IndexedDB; in memory where the browser allows none.

const NAME = "llm-inference-api";
const STORES = { conversations: null, messages: "conversation" }; // With the field of its index.

/** Returns the database; `isLasting` says whether what is kept outlives the tab. */
export async function openDatabase() {
  try {
    return new Database(await opened());
  } catch {
    return new Memory();
  }
}

function opened() {
  const asked = indexedDB.open(NAME, 1);
  asked.onupgradeneeded = () => {
    for (const [store, index] of Object.entries(STORES)) {
      const made = asked.result.createObjectStore(store, { keyPath: "id" });
      if (index) made.createIndex(index, index);
    }
  };
  return done(asked);
}

function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

class Database {
  isLasting = true;
  #database;

  constructor(database) {
    this.#database = database;
    database.onversionchange = () => database.close(); // Another tab has a newer page.
  }

  #store(name, mode = "readonly") {
    return this.#database.transaction(name, mode).objectStore(name);
  }

  all(name) {
    return done(this.#store(name).getAll());
  }

  get(name, id) {
    return done(this.#store(name).get(id));
  }

  where(name, value) {
    return done(this.#store(name).index(STORES[name]).getAll(value));
  }

  put(name, ...values) {
    return this.#change(name, (store) => values.forEach((value) => store.put(value)));
  }

  /** Changes these fields of what is kept; one transaction, so that no other tab's change is lost in between. */
  update(name, id, fields) {
    return this.#change(name, (store) => {
      store.get(id).onsuccess = ({ target: { result } }) => result && store.put({ ...result, ...fields });
    });
  }

  remove(name, ...ids) {
    return this.#change(name, (store) => ids.forEach((id) => store.delete(id)));
  }

  #change(name, change) {
    const store = this.#store(name, "readwrite");
    change(store);
    return new Promise((resolve, reject) => {
      store.transaction.oncomplete = resolve;
      store.transaction.onabort = () => reject(store.transaction.error);
    });
  }
}

class Memory {
  isLasting = false;
  #stores = Object.fromEntries(Object.keys(STORES).map((name) => [name, new Map()]));

  all = async (name) => [...this.#stores[name].values()];
  get = async (name, id) => this.#stores[name].get(id);
  where = async (name, value) => [...this.#stores[name].values()].filter((kept) => kept[STORES[name]] === value);
  put = async (name, ...values) => values.forEach((value) => this.#stores[name].set(value.id, structuredClone(value)));
  update = async (name, id, fields) => {
    const kept = this.#stores[name].get(id);
    if (kept) this.#stores[name].set(id, { ...kept, ...fields });
  };
  remove = async (name, ...ids) => ids.forEach((id) => this.#stores[name].delete(id));
}
