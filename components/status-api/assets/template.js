// What the card is made of. Nothing here comes from data.

const template = document.createElement("template");

template.innerHTML = `
<section class="card" part="card" aria-labelledby="title">
  <header>
    <svg class="gear" part="gear" viewBox="0 0 24 24" aria-hidden="true">
      <path d="M19.43 12.98a7.8 7.8 0 0 0 0-1.96l2.11-1.65a.5.5 0 0 0 .12-.64l-2-3.46a.5.5 0 0 0-.61-.22l-2.49 1a7.3 7.3 0 0 0-1.69-.98l-.38-2.65A.49.49 0 0 0 14 2h-4a.49.49 0 0 0-.49.42l-.38 2.65c-.61.25-1.17.59-1.69.98l-2.49-1a.5.5 0 0 0-.61.22l-2 3.46a.5.5 0 0 0 .12.64l2.11 1.65a7.9 7.9 0 0 0 0 1.96l-2.11 1.65a.5.5 0 0 0-.12.64l2 3.46c.12.22.39.3.61.22l2.49-1c.52.4 1.08.73 1.69.98l.38 2.65c.03.24.24.42.49.42h4c.25 0 .46-.18.49-.42l.38-2.65c.61-.25 1.17-.59 1.69-.98l2.49 1c.23.09.49 0 .61-.22l2-3.46a.5.5 0 0 0-.12-.64zM12 15.5a3.5 3.5 0 1 1 0-7 3.5 3.5 0 0 1 0 7z"/>
    </svg>
    <div class="names">
      <h2 id="title" part="title"></h2>
      <p class="pulse" part="pulse"><span class="dot" aria-hidden="true"></span><span id="liveness"></span><a id="how" hidden>How</a></p>
    </div>
    <span class="badge" id="state" part="badge"></span>
  </header>

  <section id="setup" part="setup" aria-labelledby="setup-title" hidden>
    <div class="figures">
      <h3 id="setup-title"></h3>
      <button type="button" id="look">Look again</button>
    </div>
    <ol id="lines"></ol>
  </section>

  <div class="columns">
    <div class="column">
      <div class="progress">
        <div class="figures">
          <p class="percent" id="percent"></p>
          <p class="eta"><span id="eta"></span><span class="range" id="eta-range"></span></p>
        </div>
        <div class="bar" id="bar" part="bar" role="progressbar" aria-label="Files migrated" aria-valuemin="0" aria-valuemax="100">
          <div class="moved"></div><div class="dead"></div>
        </div>
        <div class="figures small">
          <p id="migrated"></p>
          <p id="remaining"><span id="left"></span><a id="for-people" hidden></a></p>
        </div>
      </div>

      <div class="throughput">
        <div class="figures small">
          <p class="label">Throughput</p>
          <p id="rate"></p>
        </div>
        <svg class="sparkline" id="sparkline" part="sparkline" viewBox="0 0 118 32" preserveAspectRatio="none" role="img">
          <path class="area"/><path class="line"/>
        </svg>
        <div class="figures small muted">
          <p>30 min ago</p>
          <p id="phase"></p>
        </div>
      </div>
    </div>

    <div class="column">
      <details id="errors" part="errors">
        <summary><span class="caret" aria-hidden="true"></span><span id="errors-title">Errors</span><span class="count" id="errors-count"></span></summary>
        <div class="panel">
          <div id="diagnosis"></div>
          <div id="groups"></div>
          <dl class="times">
            <div><dt>Last success</dt><dd id="last-success"></dd></div>
            <div><dt>Last failure</dt><dd id="last-failure"></dd></div>
          </dl>
        </div>
      </details>

      <details id="warnings" part="warnings" hidden>
        <summary><span class="caret" aria-hidden="true"></span><span>Warnings</span><span class="count" id="warnings-count"></span></summary>
        <div class="panel" id="warned"></div>
      </details>

      <ul class="syncs" aria-label="Syncs">
        <li><span class="name">Pipeline</span><span class="freshness" id="crm"></span><span class="verdict" id="crm-verdict"></span></li>
        <li><span class="name">Chatter</span><span class="freshness" id="chatter"></span><span class="verdict" id="chatter-verdict"></span></li>
      </ul>

      <details id="comparisons" part="comparisons" hidden>
        <summary><span class="caret" aria-hidden="true"></span><span>What was compared</span></summary>
        <div class="panel">
          <p class="caption">Every record by its id and when it was written, each time; by its contents as often as is set.</p>
          <div id="compared"></div>
        </div>
      </details>
    </div>
  </div>

  <footer id="actions" hidden>
    <button type="button" id="run">Run now</button>
    <button type="button" id="pause">Pause</button>
    <button type="button" id="resume" hidden>Resume</button>
    <button type="button" id="retry" hidden>Retry dead files</button>
    <button type="button" id="final-check">Final check</button>
    <a id="certificate">Certificate</a>
    <p id="outcome" role="status"></p>
  </footer>

  <p class="unseen" id="spoken" role="status" aria-live="polite"></p>

  <dialog id="confirm" aria-labelledby="question">
    <form method="dialog">
      <p id="question"></p>
      <div><button value="no">Cancel</button><button value="yes" class="primary" id="yes"></button></div>
    </form>
  </dialog>
</section>`;

/** A card without data. */
export const blank = () => template.content.cloneNode(true);
